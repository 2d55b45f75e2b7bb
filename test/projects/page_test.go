package projects_test

func page(lines []line) string { return "" }
