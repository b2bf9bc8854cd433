package buildtracker

import "github.com/build-tracker/build-tracker/build"

// held are builds in memory, as committed. A batch takes out what it looks at
// and puts it back when it has been committed too, so that a batch that fails
// leaves nothing half-done here. The zero held is empty.
type held struct {
	builds map[string]*build.Build
	size   int // of the builds: they and their jobs
}

func sizeOf(b *build.Build) int { return 1 + len(b.Jobs) + len(b.Children) }

// take returns a build and no longer holds it; nil when it is not there.
func (h *held) take(id string) *build.Build {
	b := h.builds[id]
	if b != nil {
		delete(h.builds, id)
		h.size -= sizeOf(b)
	}
	return b
}

// put holds a build, and lets go of others, any, when there are too many: what
// is needed is loaded again.
func (h *held) put(b *build.Build) {
	if b == nil {
		return
	}
	if h.builds == nil {
		h.builds = make(map[string]*build.Build)
	}
	h.take(b.ID)
	h.builds[b.ID] = b
	h.size += sizeOf(b)
	for id := range h.builds {
		if h.size <= heldSize {
			return
		}
		h.take(id)
	}
}

func (h *held) clear() { *h = held{} }
