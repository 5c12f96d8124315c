package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// fleet is a number of replicas, the first of which are ready.
type fleet struct {
	replicas []*replica
	ready    atomic.Int64
	ttl      uint32
}

// replica works on some calls at once, and queues the others in the order of their arrival.
type replica struct {
	fleet    *fleet
	number   int
	address  net.IP
	slots    chan struct{}
	service  time.Duration
	vary     float64 // largest difference from it, as a share of it
	response []byte
	answered atomic.Int64
	skipped  atomic.Int64
	port     int
	server   *grpc.Server // nil while the replica is not ready
}

func (r *replica) isReady() bool { return int64(r.number) < r.fleet.ready.Load() }

// infer holds a slot for the service time, as a model instance does.
func (r *replica) infer(_ any, stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-stream.Context().Done():
		r.skipped.Add(1)
		return status.FromContextError(stream.Context().Err()).Err()
	}
	if r.service > 0 {
		time.Sleep(time.Duration(float64(r.service) * (1 + r.vary*(2*rand.Float64()-1))))
	}
	if err := stream.Context().Err(); err != nil {
		r.skipped.Add(1)
		return status.FromContextError(err).Err()
	}
	r.answered.Add(1)
	return stream.SendMsg(&r.response)
}

// ServeHTTP answers as the stack's watchdog does: 200 while the replica takes calls.
func (r *replica) ServeHTTP(answer http.ResponseWriter, _ *http.Request) {
	if !r.isReady() {
		answer.WriteHeader(http.StatusServiceUnavailable)
	}
}

// open starts a server, as a replica that becomes ready does.
func (r *replica) open() error {
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", r.address, r.port))
	if err != nil {
		return err
	}
	r.server = grpc.NewServer(
		grpc.ForceServerCodec(raw{}),
		grpc.UnknownServiceHandler(r.infer),
		grpc.MaxRecvMsgSize(1<<30),
	)
	go r.server.Serve(listener)
	return nil
}

// setReady makes a number of replicas ready; the others have no server and fail their checks.
func (f *fleet) setReady(number int) error {
	f.ready.Store(int64(number))
	for _, r := range f.replicas {
		if r.isReady() && r.server == nil {
			if err := r.open(); err != nil {
				return err
			}
		} else if !r.isReady() && r.server != nil {
			r.server.Stop()
			r.server = nil
		}
	}
	return nil
}

// resolver answers one name with all replicas, and any other with the ready ones.
func (f *fleet) resolver(all string) dns.HandlerFunc {
	return func(answer dns.ResponseWriter, question *dns.Msg) {
		reply := new(dns.Msg).SetReply(question)
		reply.Authoritative, reply.Compress = true, true
		asked := question.Question[0]
		for _, r := range f.replicas {
			if asked.Qtype == dns.TypeA && (asked.Name == dns.Fqdn(all) || r.isReady()) {
				header := dns.RR_Header{
					Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: f.ttl,
				}
				reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: r.address})
			}
		}
		answer.WriteMsg(reply)
	}
}

type order struct {
	Ready *int `json:"ready"`
}

type account struct {
	Answered []int64 `json:"answered"`
	Skipped  []int64 `json:"skipped"`
}

// obey reads an order from each line of the standard input, and answers each with the account.
func (f *fleet) obey() error {
	lines, answers := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var given order
		if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
			return err
		}
		if given.Ready != nil {
			if err := f.setReady(*given.Ready); err != nil {
				return err
			}
		}
		var now account
		for _, r := range f.replicas {
			now.Answered = append(now.Answered, r.answered.Load())
			now.Skipped = append(now.Skipped, r.skipped.Load())
		}
		if err := answers.Encode(now); err != nil {
			return err
		}
	}
	return lines.Err()
}

func serve(arguments []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	first := flags.String("first", "127.0.32.1", "address of the first replica; the others follow")
	count := flags.Int("replicas", 20, "number of replicas")
	ready := flags.Int("ready", 20, "replicas that are ready at first")
	port := flags.Int("port", 8001, "gRPC port of each replica")
	healthPort := flags.Int("health-port", 8010, "HTTP port of each replica's health")
	dnsAddress := flags.String("dns", "127.0.33.1:8053", "UDP address of the DNS server")
	all := flags.String("all", "", "name that leads to all replicas; any other leads to ready ones")
	ttl := flags.Uint("ttl", 5, "TTL of the answers in seconds")
	slots := flags.Int("slots", 16, "calls that a replica works on at once")
	service := flags.Duration("service", 50*time.Millisecond, "time of one call")
	vary := flags.Float64("vary", 0, "largest difference from that time, as a share of it")
	slow := flags.Int("slow", -1, "number of a replica that is ten times slower")
	size := flags.Int("response-bytes", 64, "size of an answer")
	flags.Parse(arguments)

	address := net.ParseIP(*first).To4()
	if address == nil || int(address[3])+*count > 256 {
		return errors.New("-first: no address, or too few behind it")
	}
	made := &fleet{ttl: uint32(*ttl)}
	for number := range *count {
		own := net.IPv4(address[0], address[1], address[2], address[3]+byte(number))
		r := &replica{
			fleet: made, number: number, address: own, service: *service, vary: *vary,
			slots: make(chan struct{}, *slots), response: make([]byte, *size),
			port: *port,
		}
		if number == *slow {
			r.service *= 10
		}
		made.replicas = append(made.replicas, r)
		probes, err := net.Listen("tcp", fmt.Sprintf("%s:%d", r.address, *healthPort))
		if err != nil {
			return err
		}
		go http.Serve(probes, r)
	}
	if err := made.setReady(*ready); err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", *dnsAddress)
	if err != nil {
		return err
	}
	go (&dns.Server{PacketConn: packets, Handler: made.resolver(*all)}).ActivateAndServe()
	return made.obey()
}
