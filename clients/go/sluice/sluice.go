// Package sluice is a client of a sluice gateway, with the standard library alone. Copy it into your backend.
//
// docs/client.md says what is sent again and why; the interface is at /v1/openapi.json of the gateway.
package sluice

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	attempts = 6
	silence  = 45 * time.Second // event streams have a heartbeat every 15 s
	longPoll = 25 * time.Second
)

// Client talks to one gateway. Goroutines may share it.
type Client struct {
	URL   string
	Token string
	HTTP  *http.Client
}

// FromEnvironment returns a client with SLUICE_GATEWAY_URL and SLUICE_GATEWAY_TOKEN.
func FromEnvironment() *Client {
	return &Client{strings.TrimRight(os.Getenv("SLUICE_GATEWAY_URL"), "/"), os.Getenv("SLUICE_GATEWAY_TOKEN"), &http.Client{}}
}

// Refused is the gateway's answer to a request that it refuses (RFC 9457).
type Refused struct {
	Status   int    `json:"status"`
	Code     string `json:"code"`
	Detail   string `json:"detail"`
	NextStep string `json:"next_step"`
}

func (r *Refused) Error() string { return strings.TrimSpace(r.Detail + " " + r.NextStep) }

// Job is a job as the gateway shows it.
type Job struct {
	JobID string `json:"job_id"`
	State string `json:"state"`
}

// Ended returns whether the job does not change any more.
func (j Job) Ended() bool {
	switch j.State {
	case "COMPLETED", "FAILED", "CANCELLED", "EXPIRED":
		return true
	}
	return false
}

// Result says how a job ended.
type Result struct {
	JobID  string          `json:"job_id"`
	Status string          `json:"status"`
	Output json.RawMessage `json:"output"`
}

// Event is one message of an event stream; ID is the place to go on after it.
type Event struct {
	ID, Name string
	Data     json.RawMessage
}

// Submit sends a job. Options are the further fields of the body, such as "callback_url". The key makes every repetition the same
// job; "" makes one for this call.
func (c *Client) Submit(ctx context.Context, processor string, input any, key string, options map[string]any) (Job, error) {
	if key == "" {
		random := make([]byte, 16)
		_, _ = rand.Read(random)
		key = hex.EncodeToString(random)
	}
	fields := map[string]any{"processor": processor, "input": input}
	for name, value := range options {
		fields[name] = value
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return Job{}, err
	}
	headers := map[string]string{"Content-Type": "application/json", "Idempotency-Key": key}
	return read[Job](c.send(ctx, http.MethodPost, "/v1/jobs", body, headers))
}

// Wait returns the job once it has ended, by long polls. When the context ends first, the job goes on.
func (c *Client) Wait(ctx context.Context, jobID string) (Job, error) {
	for {
		asked := time.Now()
		path := fmt.Sprintf("/v1/jobs/%s?wait=%g", url.PathEscape(jobID), longPoll.Seconds())
		job, err := read[Job](c.send(ctx, http.MethodGet, path, nil, nil))
		if err != nil || job.Ended() {
			return job, err
		}
		if time.Since(asked) < longPoll/2 { // answered before its time: a stopping gateway
			if err := sleep(ctx, time.Second/2); err != nil {
				return job, err
			}
		}
	}
}

// Result returns how a job ended.
func (c *Client) Result(ctx context.Context, jobID string) (Result, error) {
	return read[Result](c.send(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(jobID)+"/result", nil, nil))
}

// Events calls handle with every event of a job until its outcome. It connects again after the last event that was whole.
func (c *Client) Events(ctx context.Context, jobID string, after string, handle func(Event) error) error {
	lastID, failures := after, 0
	for {
		over, alive, err := c.follow(ctx, jobID, &lastID, handle)
		var refused *Refused
		if over || errors.As(err, &refused) || ctx.Err() != nil {
			return err
		}
		if alive {
			failures = 0
		}
		if failures++; failures >= attempts {
			return err
		}
		if err := sleep(ctx, delay(failures)); err != nil {
			return err
		}
	}
}

// follow reads one connection. over: the outcome has come, or handle has failed. alive: the stream was opened.
func (c *Client) follow(ctx context.Context, jobID string, lastID *string, handle func(Event) error) (over, alive bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	headers := map[string]string{"Accept": "text/event-stream"}
	if *lastID != "" {
		headers["Last-Event-ID"] = *lastID
	}
	answer, err := c.send(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(jobID)+"/events", nil, headers)
	if err != nil {
		return false, false, err
	}
	defer answer.Body.Close()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	lines := bufio.NewReader(answer.Body)
	id, name, data := *lastID, "", []string{}
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // an event that was cut off does not count
			return false, true, err
		}
		watchdog.Reset(silence)
		line = strings.TrimRight(line, "\r\n")
		if line != "" {
			field, value, _ := strings.Cut(line, ":")
			switch value = strings.TrimPrefix(value, " "); field {
			case "id":
				id = value
			case "event":
				name = value
			case "data":
				data = append(data, value)
			}
			continue
		}
		*lastID = id // a sign of life has an id too
		if len(data) > 0 {
			err := handle(Event{id, name, json.RawMessage(strings.Join(data, "\n"))})
			if err != nil || name == "outcome" {
				return true, true, err
			}
		}
		name, data = "", []string{}
	}
}

// send sends a request until it succeeds. A submit may be sent again, because it carries its key.
func (c *Client) send(ctx context.Context, method, path string, body []byte, headers map[string]string) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		for name, value := range headers {
			request.Header.Set(name, value)
		}
		if c.Token != "" {
			request.Header.Set("Authorization", "Bearer "+c.Token)
		}
		answer, err := c.HTTP.Do(request)
		wait := delay(attempt)
		if err == nil {
			if answer.StatusCode < 300 {
				return answer, nil
			}
			refused := &Refused{Status: answer.StatusCode, Detail: answer.Status}
			text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
			_ = json.Unmarshal(text, refused)
			answer.Body.Close()
			err = refused
			switch answer.StatusCode {
			case 429, 502, 503, 504:
				seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
				wait += time.Duration(seconds) * time.Second
			default:
				return nil, err
			}
		}
		if attempt >= attempts || ctx.Err() != nil {
			return nil, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func read[T any](answer *http.Response, err error) (T, error) {
	var value T
	if err != nil {
		return value, err
	}
	defer answer.Body.Close()
	return value, json.NewDecoder(answer.Body).Decode(&value)
}

// delay doubles with each failure, and is shortened at random so that clients do not come back together.
func delay(failures int) time.Duration {
	seconds := math.Min(0.2*math.Pow(2, float64(failures-1)), 10) * (0.5 + mathrand.Float64()/2)
	return time.Duration(seconds * float64(time.Second))
}

func sleep(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// Verify returns an error if none of the secrets has signed the callback. Body is as it came. The header webhook-id is the same in
// every attempt of a delivery: store it with the result, and do nothing if it is there already.
func Verify(header http.Header, body []byte, secrets []string) error {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	sent, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || err != nil {
		return errors.New("the callback has no signature")
	}
	if age := time.Since(time.Unix(sent, 0)); age > 5*time.Minute || age < -5*time.Minute {
		return errors.New("the callback is too old")
	}
	for _, secret := range secrets {
		text := strings.TrimRight(strings.TrimPrefix(strings.TrimSpace(secret), "whsec_"), "=")
		key, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil || len(key) == 0 {
			return errors.New("a callback secret is not base64")
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.", id, timestamp)
		mac.Write(body)
		expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		for _, given := range strings.Fields(header.Get("webhook-signature")) {
			if hmac.Equal([]byte(given), expected) {
				return nil
			}
		}
	}
	return errors.New("no secret fits the signature of the callback")
}
