//go:build !race

package main

// buildArgs for the program that the tests run.
var buildArgs []string
