package build

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Decode reads what Encode wrote.
func Decode(data []byte) (*Build, error) {
	b := new(Build)
	if err := json.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("decode build: %w", err)
	}
	return b, nil
}

// Clone returns a copy that can be changed without changing b.
func (b *Build) Clone() *Build {
	c := *b
	c.Jobs = make(map[string]*Job, len(b.Jobs)+1)
	for id, j := range b.Jobs {
		k := *j
		c.Jobs[id] = &k
	}
	c.Children = maps.Clone(b.Children)
	for id, child := range c.Children {
		child.Failed = slices.Clone(child.Failed)
		c.Children[id] = child
	}
	return &c
}
