package model

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestCost holds the fixed-point logarithm to the real one, and to bits that every machine must find.
func TestCost(t *testing.T) {
	for h, want := range map[uint64]uint64{ // a change of these moves the sites of running clusters
		0:                  64 << costBits,
		1:                  64 << costBits,
		math.MaxUint64:     1, // never 0
		1 << 63:            1 << costBits,
		0xb504f333f9de6485: 1 << (costBits - 1), // 2^63.5
		0x0123456789abcdef: 33559934675,
	} {
		if got := cost(h); got != want {
			t.Errorf("cost(%#x) = %d, want %d", h, got, want)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		h := rnd.Uint64() >> rnd.IntN(64)
		got, want := float64(cost(h))/(1<<costBits), 64-math.Log2(float64(h|1))
		if math.Abs(got-want) > 1e-9 {
			t.Fatalf("cost(%#x) = %v, want %v", h, got, want)
		}
	}
}

func BenchmarkCost(b *testing.B) {
	for i := uint64(1); b.Loop(); i *= 6364136223846793005 {
		cost(i)
	}
}
