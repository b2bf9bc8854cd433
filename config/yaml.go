package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of the text of a file, which keep the parser's work small: it is
// quadratic in the entries of a mapping, and recurses into what is nested.
const (
	maxTokens = 20_000 // a key and its value are three
	maxFlow   = 8      // brackets within brackets
)

// parseYAML returns what the only document of a text holds, nil for nothing.
// Problems go to d. Of YAML it takes mappings, lists and plain values: what has
// one value stand for another is refused.
func (d *decoder) parseYAML(text []byte) ast.Node {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	if !d.isText(text) {
		return nil
	}
	tokens := lexer.Tokenize(string(text))
	if !d.allows(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil
	}
	if len(file.Docs) > 1 {
		for _, doc := range file.Docs[1:] {
			switch {
			case doc.Start != nil:
				d.fail(placeOf(doc.Start), "a second document begins here: a configuration is one document, remove this line and what follows it")
			case doc.Body != nil:
				d.fail(startOf(doc.Body), "a second document begins here: a configuration is one document, remove what follows the ...")
			}
		}
	}
	if len(file.Docs) == 0 || len(d.problems) > 0 {
		return nil
	}
	return file.Docs[0].Body
}

// isText refuses what YAML does not take anywhere.
func (d *decoder) isText(text []byte) bool {
	at := place{1, 1}
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			d.fail(at, "this byte is no UTF-8: save the file as UTF-8")
			return false
		case unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t':
			d.fail(at, "%q is a control character: remove it", r)
			return false
		case r == '\n':
			at = place{at.line + 1, 0}
		}
		at.column++
		text = text[size:]
	}
	return true
}

// allows refuses what is not text, or is more than the parser should be given.
func (d *decoder) allows(tokens token.Tokens) bool {
	flow := 0
	for i, t := range tokens {
		at := placeOf(t)
		switch t.Type {
		case token.InvalidType:
			d.invalid(at, t.Error)
			return false
		case token.AnchorType:
			d.fail(at, "anchors (&) are not taken: write the value where it is needed, and quote one that begins with &")
		case token.AliasType:
			d.fail(at, "aliases (*) are not taken: quote a value that begins with *, such as \"*/web\"")
		case token.TagType:
			d.fail(at, "tags (!) are not taken: quote a value that begins with !")
		case token.MergeKeyType:
			d.fail(at, "merge keys (<<) are not taken: write the settings out")
		case token.MappingKeyType:
			d.fail(at, "? is not taken: write a setting as key: value")
		case token.DirectiveType:
			d.fail(at, "directives (%%) are not taken: remove the line, or quote a value that begins with %%")
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		}
		if flow > maxFlow {
			d.fail(at, "brackets are nested deeper than %d: nothing here needs that", maxFlow)
			return false
		}
		if i >= maxTokens {
			d.fail(at, "there are too many entries up to here: a configuration holds some thousands at most")
			return false
		}
	}
	return len(d.problems) == 0
}

func (d *decoder) syntax(err error) {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		d.fail(place{1, 1}, "this is not YAML")
		return
	}
	d.invalid(placeOf(e.GetToken()), e.GetMessage())
}

// invalid repeats what the parser says, without what it quotes of the file.
func (d *decoder) invalid(at place, why string) {
	why, _, _ = strings.Cut(why, `: "`)
	if strings.Contains(why, "\t") || strings.Contains(why, "tab character") {
		d.fail(at, "this line is indented with a tab: use spaces")
		return
	}
	d.fail(at, "this is not YAML: %s", why)
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{t.Position.Line, t.Position.Column}
}

// startOf is where a node begins: a mapping's own token is its first colon.
func startOf(n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return startOf(n.Values[0])
		}
	case *ast.MappingValueNode:
		return placeOf(n.Key.GetToken())
	}
	return placeOf(n.GetToken())
}

// scalar returns the text of a plain value as it was written: 0123 is 0123, and
// off is off. Nothing at all is "".
func scalar(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return "", true
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\r\n"), true
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// describe names what was found in the place of something else.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// quoted shows a text that is no secret, and not all of a long one.
func quoted(text string) string {
	const enough = 60
	if runes := []rune(text); len(runes) > enough {
		text = string(runes[:enough]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
