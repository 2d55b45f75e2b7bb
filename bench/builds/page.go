package main

func writePage(name string) error { return nil }
