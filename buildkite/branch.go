package buildkite

// Branch returns the branch of the build that a stored payload is about, as Facts
// does, and reads no more of the payload than it needs. It is empty where the
// payload does not tell, or is no JSON up to there.
func Branch(data []byte) string {
	s := scanner{b: data}
	s.space()
	if s.peek() != '{' {
		return ""
	}
	for m := s.enter(); s.member(&m); {
		if string(s.name(&m)) != "build" {
			s.skip()
			continue
		}
		if s.peek() != '{' {
			return ""
		}
		for m := s.enter(); s.member(&m); {
			if string(s.name(&m)) == "branch" {
				return values(data).text(s.skip(), maxName)
			}
			s.skip()
		}
		return ""
	}
	return ""
}
