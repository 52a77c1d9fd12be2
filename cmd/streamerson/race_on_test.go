//go:build race

package main

// buildArgs make the program that the tests run watch for races as they do.
var buildArgs = []string{"-race"}
