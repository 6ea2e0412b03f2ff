// A registry with the referrers API (OCI distribution-spec v1.1), in memory: go-containerregistry's, with that
// option switched on, which `crane registry serve` leaves off. Its argument is the address to listen on.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	handler := registry.New(registry.WithReferrersSupport(true))
	log.Fatal(http.ListenAndServe(os.Args[1], handler))
}
