package main

import (
	"context"
	"encoding/json"
	"flag"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// The outcomes of a call, as the client sees them.
const (
	ok       = "ok"
	refused  = "refused"
	deadline = "deadline"
	lost     = "lost"
	other    = "other"
)

// outcome tells a refusal by the gateway from the loss of a connection: both are UNAVAILABLE.
func outcome(err error) string {
	switch status.Code(err) {
	case codes.OK:
		return ok
	case codes.DeadlineExceeded:
		return deadline
	case codes.ResourceExhausted:
		return refused
	case codes.Unavailable:
		said := status.Convert(err).Message()
		for _, loss := range []string{"error reading from server", "closing", "connection error"} {
			if strings.Contains(said, loss) {
				return lost
			}
		}
		return refused
	}
	return other
}

type ended struct {
	at      time.Duration // since the first call
	took    time.Duration
	outcome string
	said    string
}

type tally struct {
	mutex sync.Mutex
	ended []ended
}

func (t *tally) add(one ended) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.ended = append(t.ended, one)
}

// connections counts those that end before the client closes them.
type connections struct {
	closing atomic.Bool
	killed  atomic.Int64
}

func (*connections) TagRPC(c context.Context, _ *stats.RPCTagInfo) context.Context   { return c }
func (*connections) HandleRPC(context.Context, stats.RPCStats)                       {}
func (*connections) TagConn(c context.Context, _ *stats.ConnTagInfo) context.Context { return c }
func (k *connections) HandleConn(_ context.Context, event stats.ConnStats) {
	if _, end := event.(*stats.ConnEnd); end && !k.closing.Load() {
		k.killed.Add(1)
	}
}

type step struct {
	OK      int `json:"ok"`
	Refused int `json:"refused"`
}

type report struct {
	Outcomes       map[string]int     `json:"outcomes"`
	Messages       map[string]int     `json:"messages"`
	FirstSeconds   float64            `json:"first_call_unix"`
	IssuedSeconds  float64            `json:"issued_seconds"`
	EndedSeconds   float64            `json:"ended_seconds"`
	OKSeconds      map[string]float64 `json:"ok_seconds"`
	RefusedSeconds map[string]float64 `json:"refused_seconds"`
	Killed         int64              `json:"connections_killed"`
	StepSeconds    float64            `json:"step_seconds"`
	Timeline       []step             `json:"timeline"`
}

func quantiles(of []time.Duration) map[string]float64 {
	if len(of) == 0 {
		return nil
	}
	slices.Sort(of)
	at := func(share float64) float64 {
		return of[int(math.Min(float64(len(of)-1), share*float64(len(of))))].Seconds()
	}
	return map[string]float64{"p50": at(.5), "p99": at(.99), "max": at(1)}
}

const stepSeconds = 0.1

func (t *tally) report(issued time.Duration) report {
	found := report{
		Outcomes: map[string]int{ok: 0, refused: 0, deadline: 0, lost: 0, other: 0},
		Messages: map[string]int{}, IssuedSeconds: issued.Seconds(), StepSeconds: stepSeconds,
	}
	took := map[string][]time.Duration{}
	for _, one := range t.ended {
		found.Outcomes[one.outcome]++
		if one.said != "" && len(found.Messages) < 20 || found.Messages[one.said] > 0 {
			found.Messages[one.said]++
		}
		took[one.outcome] = append(took[one.outcome], one.took)
		found.EndedSeconds = math.Max(found.EndedSeconds, one.at.Seconds())
		number := int(one.at.Seconds() / stepSeconds)
		for len(found.Timeline) <= number {
			found.Timeline = append(found.Timeline, step{})
		}
		switch one.outcome {
		case ok:
			found.Timeline[number].OK++
		case refused:
			found.Timeline[number].Refused++
		}
	}
	found.OKSeconds, found.RefusedSeconds = quantiles(took[ok]), quantiles(took[refused])
	return found
}

func call(arguments []string) error {
	flags := flag.NewFlagSet("call", flag.ExitOnError)
	target := flags.String("target", "",
		"addresses or URIs for a resolver, with commas; the channels take them in turn")
	way := wayIn(flags)
	count := flags.Int("connections", 1, "channels, used in turn")
	calls := flags.Int("calls", 0, "calls to make at once, one goroutine each")
	window := flags.Int("window", 0, "calls to keep in flight for the duration")
	rate := flags.Float64("rate", 0, "calls to start a second, for the duration")
	duration := flags.Duration("duration", 10*time.Second, "duration of a window or a rate")
	limit := flags.Duration("deadline", 2*time.Second, "deadline of a call")
	size := flags.Int("request-bytes", 64, "size of a request")
	flags.Parse(arguments)

	watched := &connections{}
	targets := strings.Split(*target, ",")
	channels := make([]*grpc.ClientConn, *count)
	for number := range channels {
		channel, err := way.channel(targets[number%len(targets)], grpc.WithStatsHandler(watched))
		if err != nil {
			return err
		}
		channels[number] = channel
		channel.Connect()
	}
	request := make([]byte, *size)
	done := &tally{}
	began := time.Now()
	one := func(number int) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(way.context(), *limit)
		defer cancel()
		var answer []byte
		err := channels[number%len(channels)].Invoke(ctx, method, &request, &answer)
		end := time.Now()
		of := ended{at: end.Sub(began), took: end.Sub(start), outcome: outcome(err)}
		if err != nil {
			of.said = status.Convert(err).Message()
			if len(of.said) > 120 {
				of.said = of.said[:120]
			}
		}
		done.add(of)
	}
	var all sync.WaitGroup
	var issued time.Duration
	switch {
	case *calls > 0:
		for number := range *calls {
			all.Add(1)
			go func() {
				defer all.Done()
				one(number)
			}()
		}
	case *window > 0:
		for number := range *window {
			all.Add(1)
			go func() {
				defer all.Done()
				for time.Since(began) < *duration {
					one(number)
				}
			}()
		}
	default:
		every := time.Duration(float64(time.Second) / *rate)
		for number := 0; time.Since(began) < *duration; number++ {
			time.Sleep(time.Until(began.Add(time.Duration(number) * every)))
			all.Add(1)
			go func() {
				defer all.Done()
				one(number)
			}()
		}
	}
	issued = time.Since(began)
	all.Wait()
	watched.closing.Store(true)
	found := done.report(issued)
	found.FirstSeconds = float64(began.UnixNano()) / 1e9
	found.Killed = watched.killed.Load()
	return json.NewEncoder(os.Stdout).Encode(found)
}
