package db

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// statements are queries that read, prepared once each: SQLite would parse a query anew each time,
// which takes longer than to run most of them. The queries are the program's
// own, so they are few.
type statements struct {
	db *sql.DB

	mu      sync.Mutex
	byQuery map[string]*sql.Stmt
}

// get returns the prepared query. It is the store's: nobody else closes it.
func (st *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if s := st.byQuery[query]; s != nil {
		return s, nil
	}
	s, err := st.db.PrepareContext(ctx, query) //nolint:sqlclosecheck // close does
	if err != nil {
		return nil, err
	}
	if st.byQuery == nil {
		st.byQuery = make(map[string]*sql.Stmt)
	}
	st.byQuery[query] = s
	return s, nil
}

func (st *statements) close() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	var errs []error
	for _, s := range st.byQuery {
		errs = append(errs, s.Close())
	}
	clear(st.byQuery)
	return errors.Join(errs...)
}
