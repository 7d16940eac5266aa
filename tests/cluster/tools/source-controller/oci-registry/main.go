// Serves an OCI registry over plain HTTP on loopback. It keeps everything in memory, accepts pushes from anyone, and
// prints its address on the first line of stdout.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("serving on http://%s\n", listener.Addr())
	// One line per request would bury the errors in the log that a failing test prints.
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	log.Fatal(http.Serve(listener, handler))
}
