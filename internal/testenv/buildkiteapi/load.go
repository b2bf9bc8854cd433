package buildkiteapi

import (
	"encoding/json"
	"fmt"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// history is what deliveries say of one build: the last version of it, of its
// pipeline, and of each of its jobs in the order of their first mention.
type history struct {
	build, pipeline map[string]any
	jobs            []map[string]any
}

// Load puts the builds of a world as they are after its deliveries, which must be
// in the order in which they were made. A build without deliveries is not put. It
// panics for deliveries that are not Buildkite's.
func (s *Server) Load(world *traffic.World) {
	histories := make(map[string]*history)
	for _, d := range world.Deliveries {
		var p struct{ Build, Pipeline, Job map[string]any }
		if err := json.Unmarshal(d.Body, &p); err != nil {
			panic(fmt.Errorf("delivery of build %s: %w", d.BuildID, err))
		}
		h := histories[d.BuildID]
		if h == nil {
			h = &history{}
			histories[d.BuildID] = h
		}
		h.build, h.pipeline = p.Build, p.Pipeline
		if p.Job != nil {
			h.putJob(p.Job)
		}
	}
	for _, t := range world.Builds {
		h, ok := histories[t.ID]
		if !ok {
			continue
		}
		h.linkRetries()
		// REST always has these; without them go-buildkite reads no pipeline.
		if provider, ok := h.pipeline["provider"].(map[string]any); ok && provider["settings"] == nil {
			provider["settings"] = map[string]any{}
		}
		h.build["pipeline"], h.build["jobs"] = h.pipeline, h.jobs
		s.Put(t.Organization, t.Pipeline, h.build)
	}
}

func (h *history) putJob(job map[string]any) {
	for i, known := range h.jobs {
		if known["id"] == job["id"] {
			h.jobs[i] = job
			return
		}
	}
	h.jobs = append(h.jobs, job)
}

// linkRetries says of each job that was retried in which one. A retry is a later
// job of the same step, with the same place in its parallel group and matrix;
// not every delivery names the job that it is a retry of.
func (h *history) linkRetries() {
	latest := make(map[string]map[string]any)
	for _, job := range h.jobs {
		job["retried"], job["retried_in_job_id"] = false, nil
		step, ok := job["step"].(map[string]any)
		if !ok { // a trigger step's
			continue
		}
		place := fmt.Sprint(step["id"], job["parallel_group_index"], job["matrix"])
		if before := latest[place]; before != nil {
			before["retried"], before["retried_in_job_id"] = true, job["id"]
		}
		latest[place] = job
	}
}
