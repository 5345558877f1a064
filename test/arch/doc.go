// Package arch holds the structure of the tree as tests: who may import whom, what every package must
// say of itself, what must not stand in the code.
package arch
