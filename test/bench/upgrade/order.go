package main

import (
	"math/rand/v2"
	"slices"
)

// kind is what a program is.
type kind int

const (
	replica kind = iota
	node
	connector
)

// An order says of programs, by their place in a list, which is upgraded when.
type order struct {
	name  string
	steps []int
}

// draw draws an order of programs from a seed. The first ones go to the ends of what is possible: all that carries traffic
// before what configures it, and the reverse. The others are any.
func draw(seed uint64, number int, programs []kind) order {
	r := rand.New(rand.NewPCG(seed, uint64(number)))
	o := order{name: "any", steps: r.Perm(len(programs))}
	last := map[kind]int{}
	switch number {
	case 0:
		o.name, last = "nodes and connectors first", map[kind]int{replica: 1}
	case 1:
		o.name, last = "replicas first", map[kind]int{node: 1, connector: 1}
	}
	slices.SortStableFunc(o.steps, func(a, b int) int { return last[programs[a]] - last[programs[b]] })
	return o
}
