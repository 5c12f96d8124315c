package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// way has the options by which a client gets in at a gateway.
type way struct{ bundle, pair, name, token *string }

func wayIn(flags *flag.FlagSet) way {
	return way{
		flags.String("ca", "", "PEM file of the gateway's CA; plain text without it"),
		flags.String("cert", "", "PEM file with the client's certificate and its key"),
		flags.String("server-name", "", "name in the gateway's certificate"),
		flags.String("token", "", "bearer token of every call"),
	}
}

// transport returns the credentials of a connection: plain text without a CA bundle.
func (w way) transport() (credentials.TransportCredentials, error) {
	if *w.bundle == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(*w.bundle)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: *w.name}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", *w.bundle)
	}
	if *w.pair != "" {
		own, err := tls.LoadX509KeyPair(*w.pair, *w.pair)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return credentials.NewTLS(config), nil
}

// channel opens a channel that begins to connect at once.
func (w way) channel(target string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	secure, err := w.transport()
	if err != nil {
		return nil, err
	}
	channel, err := grpc.NewClient(target, append(more,
		grpc.WithTransportCredentials(secure),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(1<<30)),
	)...)
	if err != nil {
		return nil, err
	}
	channel.Connect()
	return channel, nil
}

// context returns the context of a call, with its token.
func (w way) context() context.Context {
	if *w.token == "" {
		return context.Background()
	}
	return metadata.AppendToOutgoingContext(
		context.Background(), "authorization", "Bearer "+*w.token)
}
