// Package enrollv1 is how a node or connector gets, and later renews, its identity.
package enrollv1
