package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// closeTimeout bounds taking leave of a server that may be gone.
const closeTimeout = time.Second

// PostgresOptions say how replicas reach each other over PostgreSQL.
type PostgresOptions struct {
	// URL of a direct connection to the database. It may be another than the
	// store's, where a transaction pooler stands: LISTEN does not work through
	// one.
	URL string
	// Channel is PostgreSQL's channel, at most 63 bytes, the same for all
	// replicas. What the bus calls channels ride in its payloads.
	Channel string
	// Send hands payloads to everybody who listens to PostgreSQL's channel.
	Send func(ctx context.Context, channel string, payloads []string) error
}

// PostgresTransport carries payloads by LISTEN and NOTIFY.
type PostgresTransport struct {
	config  *pgx.ConnConfig
	channel string
	send    func(ctx context.Context, channel string, payloads []string) error
}

// NewPostgresTransport returns a transport. It does not connect yet.
func NewPostgresTransport(o PostgresOptions) (*PostgresTransport, error) {
	if o.Channel == "" || len(o.Channel) > 63 {
		return nil, fmt.Errorf("listen for notifications: PostgreSQL's channel %q must have 1 to 63 bytes", o.Channel)
	}
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		// The cause may quote a part of the password.
		return nil, errors.New("listen for notifications: the URL is not one of PostgreSQL; it looks like postgres://user@host:5432/database")
	}
	return &PostgresTransport{config: config, channel: o.Channel, send: o.Send}, nil
}

// Send is Transport.Send.
func (t *PostgresTransport) Send(ctx context.Context, payloads []string) error {
	return t.send(ctx, t.channel, payloads)
}

// Connect is Transport.Connect.
func (t *PostgresTransport) Connect(ctx context.Context) (Connection, error) {
	conn, err := pgx.ConnectConfig(ctx, t.config)
	if err != nil {
		return nil, err
	}
	c := &postgresConnection{conn}
	if _, err := conn.Exec(ctx, `SET application_name = 'build-tracker notifications'`); err != nil {
		c.Close()
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{t.channel}.Sanitize()); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

type postgresConnection struct{ conn *pgx.Conn }

// Receive is Connection.Receive.
func (c *postgresConnection) Receive(ctx context.Context) (string, error) {
	n, err := c.conn.WaitForNotification(ctx)
	if err != nil {
		return "", err
	}
	return n.Payload, nil
}

// Ping is Connection.Ping.
func (c *postgresConnection) Ping(ctx context.Context) error { return c.conn.Ping(ctx) }

// Close is Connection.Close.
func (c *postgresConnection) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.conn.Close(ctx)
}
