// Package monitor is what a person sees of a build: while it runs, after it, and in files to look at later.
//
// A Model is a fold of the build's events, and the rest are views of it: Lines is the block at the bottom of a terminal, Progress the rare line
// where there is none, Summary what is said at the end, Report a page, Trace a file for Perfetto. Which of them are asked for, and how they get to
// the screen, is not known here.
//
// It is pure: time is an argument, and so is what former builds have taken. A Model is not safe for concurrent use. It takes events in the
// order in which they were delivered, and does not need more of it than mexec.Event promises: the end of a process may come before its job.
// It does not grow with the number of commands, unless it is told to keep them, as Report and Trace need it.
package monitor
