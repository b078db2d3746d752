// A peer of the content store for its tests, made of boxo: the libraries inside Kubo.
//
//	boxo serve PATH...           import files and folders with the profile unixfs-v1-2025, and read archives
//	                             (.car); serve them as a trustless gateway
//	boxo proxy car|blocks URL    read from another trustless gateway, by archives or block by block, check
//	                             everything, and serve whole files
//
// It prints "root PATH CID" for each root, then "url URL", and serves on the loopback address until it is killed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	unixfs "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dsync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/ipld/go-car/v2"
)

var profile = unixfs.UnixFS_v1_2025

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: boxo serve PATH... | boxo proxy car|blocks URL")
	}
	var backend gateway.IPFSBackend
	var err error
	switch {
	case os.Args[1] == "serve":
		backend, err = stored(os.Args[2:])
	case os.Args[1] == "proxy" && len(os.Args) == 4 && os.Args[2] == "car":
		backend, err = gateway.NewRemoteCarBackend(os.Args[3:], nil)
	case os.Args[1] == "proxy" && len(os.Args) == 4 && os.Args[2] == "blocks":
		backend, err = gateway.NewRemoteBlocksBackend(os.Args[3:], nil)
	default:
		err = errors.New("unknown command")
	}
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("url http://%s\n", listener.Addr())
	handler := gateway.NewHandler(gateway.Config{
		DeserializedResponses: os.Args[1] == "proxy",
		NoDNSLink:             true,
		DisableHTMLErrors:     true,
	}, backend)
	log.Fatal(http.Serve(listener, handler))
}

// stored returns a gateway over the files, folders and archives at these paths.
func stored(paths []string) (gateway.IPFSBackend, error) {
	profile.ApplyGlobals()
	store := blockstore.NewIdStore(blockstore.NewBlockstore(dsync.MutexWrap(datastore.NewMapDatastore())))
	service := blockservice.New(store, offline.Exchange(store))
	dag := merkledag.NewDAGService(service)
	for _, path := range paths {
		var root cid.Cid
		var err error
		if strings.HasSuffix(path, ".car") {
			root, err = readArchive(store, path)
		} else {
			var node ipld.Node
			if node, err = importPath(dag, path); err == nil {
				root = node.Cid()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		fmt.Printf("root %s %s\n", path, root)
	}
	return gateway.NewBlocksBackend(service)
}

// importPath builds a file or a folder as Kubo does.
func importPath(dag ipld.DAGService, path string) (ipld.Node, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return importFile(dag, path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	folder, err := unixfs.NewDirectory(dag, unixfs.WithCidBuilder(profile.CidBuilder()))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		child, err := importPath(dag, filepath.Join(path, entry.Name()))
		if err != nil {
			return nil, err
		}
		if err := folder.AddChild(context.Background(), entry.Name(), child); err != nil {
			return nil, err
		}
	}
	node, err := folder.GetNode()
	if err != nil {
		return nil, err
	}
	return node, dag.Add(context.Background(), node)
}

func importFile(dag ipld.DAGService, path string) (ipld.Node, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	params := helpers.DagBuilderParams{
		Dagserv:    dag,
		Maxlinks:   profile.FileDAGWidth,
		RawLeaves:  profile.RawLeaves,
		CidBuilder: profile.CidBuilder(),
	}
	builder, err := params.New(chunk.NewSizeSplitter(file, profile.ChunkSize))
	if err != nil {
		return nil, err
	}
	return balanced.Layout(builder)
}

// readArchive stores the blocks of an archive; the reader hashes each of them.
func readArchive(store blockstore.Blockstore, path string) (cid.Cid, error) {
	file, err := os.Open(path)
	if err != nil {
		return cid.Undef, err
	}
	defer file.Close()
	reader, err := car.NewBlockReader(file)
	if err != nil {
		return cid.Undef, err
	}
	if len(reader.Roots) != 1 {
		return cid.Undef, fmt.Errorf("%d roots", len(reader.Roots))
	}
	for {
		block, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return reader.Roots[0], nil
		}
		if err != nil {
			return cid.Undef, err
		}
		if err := store.Put(context.Background(), block); err != nil {
			return cid.Undef, err
		}
	}
}
