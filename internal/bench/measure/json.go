package measure

import (
	"encoding/json"
	"io"
)

// Report is a whole run.
type Report struct {
	// Machine says where and on what it ran, by name.
	Machine []Fact
	Lines   []Line
}

// Fact is one thing to know about a run.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// WriteJSON writes a report with every sample.
func WriteJSON(w io.Writer, r Report) error {
	type line struct {
		Row      string   `json:"row"`
		Name     string   `json:"name"`
		Unit     Unit     `json:"unit"`
		Ours     Samples  `json:"ours"`
		Baseline Samples  `json:"baseline,omitempty"`
		Ratio    Samples  `json:"ratio,omitempty"`
		Target   string   `json:"target,omitempty"`
		Reached  *bool    `json:"reached,omitempty"`
		Notes    []string `json:"notes,omitempty"`
	}
	out := struct {
		Machine []Fact `json:"machine"`
		Lines   []line `json:"lines"`
	}{Machine: r.Machine}
	for i := range r.Lines {
		l := &r.Lines[i]
		one := line{
			Row: l.Row, Name: l.Name, Unit: l.Unit, Ours: l.Ours, Baseline: l.Baseline, Ratio: l.Ratio(),
			Target: l.Target.in(l.Unit), Notes: l.Notes,
		}
		if l.Target.kind != none {
			reached := l.Reached()
			one.Reached = &reached
		}
		out.Lines = append(out.Lines, one)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}
