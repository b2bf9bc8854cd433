package config

// nearest returns the name that a mistyped one probably means, or "".
func nearest(typed string, names []string) string {
	best, distance := "", max(1, len(typed)/4)+1
	for _, name := range names {
		if d := edits(typed, name); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// edits counts the bytes to insert, delete or replace to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
