// Program openb-orders makes the arrival order of the pods and the ranks of the nodes that the published FGD runs
// (Weng et al., USENIX ATC 2023) had for a seed, from a node list and a pod list of the openb trace's format.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2

	maxTune  = 100
	maxSeeds = 1000

	help = `openb-orders makes the arrival order and the node ranks of the published FGD runs.

Usage: openb-orders --nodes FILE --pods FILE [--seeds LIST] [--tune X] [--arrival FILE] [--noderank FILE]

  --nodes FILE     node list, CSV with the columns sn, gpu
  --pods FILE      pod list, CSV with the columns name, num_gpu, gpu_milli
  --seeds LIST     seeds and ranges, such as 42-51 or 7,42-44 (default 42-51)
  --tune X         GPU demand to reach, as a multiple of the nodes' GPUs, 0..100; 0 keeps the list (default 1.3)
  --arrival FILE   write here the pods in order of arrival: a column a seed, values are data rows of --pods from 0
  --noderank FILE  write here the ranks of the nodes: a column a seed, row i is data row i of --nodes
  --help           print this

At least one of --arrival and --noderank is needed. A file that exists is replaced; on an error none is.
Exit codes: 0 done, 1 failed, 2 wrong usage.

Example, from the root of the checkout:
  go run ./tools/openb-orders --nodes openb_node_list_gpu_node.csv --pods openb_pod_list_default.csv \
      --seeds 42-51 --tune 1.3 --arrival arrival_default.csv --noderank noderank_default.csv
`
)

// usageError is an error of the command line itself.
type usageError struct{ error }

func usagef(format string, args ...interface{}) error { return usageError{fmt.Errorf(format, args...)} }

type options struct {
	nodes, pods, arrival, noderank string
	seeds                          []int64
	tune                           float64
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program: args without its name, and the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	for _, arg := range args {
		if arg == "--help" || arg == "-h" || arg == "-help" {
			fmt.Fprint(stdout, help)
			return exitDone
		}
	}
	opts, err := parse(args)
	if err == nil {
		err = makeFiles(opts)
	}
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(stderr, "openb-orders: %v\n", err)
	if errors.As(err, &usageError{}) {
		fmt.Fprintln(stderr, "Try: openb-orders --help")
		return exitUsage
	}
	return exitFailed
}

// parse reads the command line: --name VALUE or --name=VALUE.
func parse(args []string) (options, error) {
	opts := options{}
	seeds, tune := "42-51", "1.3"
	flags := map[string]*string{"nodes": &opts.nodes, "pods": &opts.pods, "arrival": &opts.arrival, "noderank": &opts.noderank,
		"seeds": &seeds, "tune": &tune}
	given := map[string]bool{}
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(strings.TrimPrefix(args[i], "--"), "=")
		target := flags[name]
		if !strings.HasPrefix(args[i], "--") || target == nil {
			return opts, usagef("%s is not a flag; accepted: --nodes, --pods, --seeds, --tune, --arrival, --noderank, --help", quoted(args[i]))
		}
		if given[name] {
			return opts, usagef("--%s is given twice; accepted: once", name)
		}
		given[name] = true
		if !hasValue {
			if i++; i == len(args) {
				return opts, usagef("--%s has no value; accepted: --%s VALUE", name, name)
			}
			value = args[i]
		}
		if value == "" {
			return opts, usagef("--%s is \"\"; accepted: at least one character", name)
		}
		*target = value
	}
	if opts.nodes == "" || opts.pods == "" {
		return opts, usagef("--nodes and --pods are both needed")
	}
	if opts.arrival == "" && opts.noderank == "" {
		return opts, usagef("nothing to write; accepted: --arrival, --noderank or both")
	}
	var err error
	if opts.tune, err = strconv.ParseFloat(tune, 64); err != nil || math.IsNaN(opts.tune) || opts.tune < 0 || opts.tune > maxTune {
		return opts, usagef("--tune is %s; accepted: a number in 0..%d", quoted(tune), maxTune)
	}
	opts.seeds, err = parseSeeds(seeds)
	return opts, err
}

// parseSeeds reads "7,42-44" as 7, 42, 43, 44.
func parseSeeds(text string) ([]int64, error) {
	bad := func(why string) error {
		return usagef("--seeds is %s: %s; accepted: seeds and rising ranges such as 7,42-51, each in 0..%d, at most %d seeds, none twice",
			quoted(text), why, int64(math.MaxInt64), maxSeeds)
	}
	var seeds []int64
	taken := map[int64]bool{}
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		low, lowErr := parseSeed(first)
		high, highErr := parseSeed(last)
		if lowErr != nil || highErr != nil || low > high {
			return nil, bad(quoted(part) + " is no seed and no rising range")
		}
		if high-low >= maxSeeds-int64(len(seeds)) {
			return nil, bad("too many seeds")
		}
		for i := int64(0); i <= high-low; i++ {
			if taken[low+i] {
				return nil, bad(strconv.FormatInt(low+i, 10) + " is named twice")
			}
			taken[low+i] = true
			seeds = append(seeds, low+i)
		}
	}
	return seeds, nil
}

func parseSeed(text string) (int64, error) {
	seed, err := strconv.ParseUint(text, 10, 63) // no sign is accepted
	return int64(seed), err
}

// makeFiles reads both lists, draws an order for each seed, and writes the files that were asked for.
func makeFiles(opts options) error {
	if err := checkOutputs(opts); err != nil {
		return err
	}
	var pods []pod
	var nodes int
	var gpus int64
	err := readFile("--nodes", opts.nodes, func(in io.Reader) (err error) {
		nodes, gpus, err = readNodes("--nodes", in)
		return err
	})
	if err != nil {
		return err
	}
	err = readFile("--pods", opts.pods, func(in io.Reader) (err error) {
		pods, err = readPods("--pods", in)
		return err
	})
	if err != nil {
		return err
	}
	if gpus == 0 && opts.tune > 0 {
		return fmt.Errorf("--nodes: the sum of gpu is 0; accepted with --tune above 0: at least 1")
	}
	arrivals := make([][]int, len(opts.seeds))
	ranks := make([][]int, len(opts.seeds))
	for i, seed := range opts.seeds {
		o, err := makeOrder(pods, nodes, opts.tune*float64(gpus*milliPerGPU), seed)
		if err != nil {
			return err
		}
		arrivals[i], ranks[i] = o.arrival, o.nodeRank
	}
	var files []*outputFile
	defer func() {
		for _, f := range files {
			f.discard()
		}
	}()
	for _, out := range []struct {
		flag, path string
		columns    [][]int
	}{{"--arrival", opts.arrival, arrivals}, {"--noderank", opts.noderank, ranks}} {
		if out.path == "" {
			continue
		}
		f, err := createOutput(out.flag, out.path)
		if err != nil {
			return err
		}
		files = append(files, f)
		if err := writeColumns(f.file, opts.seeds, out.columns); err != nil {
			return fmt.Errorf("%s: cannot write: %w", out.flag, withoutPath(err))
		}
	}
	for _, f := range files {
		if err := f.commit(); err != nil {
			return err
		}
	}
	return nil
}

// writeColumns writes a header row of seeds and one column a seed; a column that is shorter than the longest ends in
// empty cells.
func writeColumns(to io.Writer, seeds []int64, columns [][]int) error {
	w := bufio.NewWriter(to)
	rows := 0
	for i, seed := range seeds {
		if i > 0 {
			w.WriteByte(',')
		}
		fmt.Fprintf(w, "s%d", seed)
		if rows < len(columns[i]) {
			rows = len(columns[i])
		}
	}
	w.WriteByte('\n')
	for row := 0; row < rows; row++ {
		for i, column := range columns {
			if i > 0 {
				w.WriteByte(',')
			}
			if row < len(column) {
				w.WriteString(strconv.Itoa(column[row]))
			}
		}
		w.WriteByte('\n')
	}
	return w.Flush() // reports the first error of all the writes
}

func readFile(flag, path string, read func(io.Reader) error) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: cannot open: %w", flag, withoutPath(err))
	}
	defer in.Close()
	return read(in)
}

// checkOutputs refuses to write a file over another of the same command.
func checkOutputs(opts options) error {
	named := []struct{ flag, path string }{{"--nodes", opts.nodes}, {"--pods", opts.pods}, {"--arrival", opts.arrival},
		{"--noderank", opts.noderank}}
	for i := 2; i < len(named); i++ {
		for j := 0; j < i; j++ {
			if named[i].path != "" && named[j].path != "" && isSameFile(named[i].path, named[j].path) {
				return usagef("%s names the same file as %s; accepted: another file", named[i].flag, named[j].flag)
			}
		}
	}
	return nil
}

func isSameFile(a, b string) bool {
	aInfo, aErr := os.Stat(a)
	bInfo, bErr := os.Stat(b)
	if aErr == nil && bErr == nil {
		return aInfo.Mode().IsRegular() && os.SameFile(aInfo, bInfo)
	}
	aPath, aErr := filepath.Abs(a)
	bPath, bErr := filepath.Abs(b)
	return aErr == nil && bErr == nil && aPath == bPath
}

// outputFile is written beside its place and moved there by commit, so that a failed run leaves no half file. A place
// that is no regular file, such as a pipe, is written directly.
type outputFile struct {
	flag, path, temporary string
	file                  *os.File
}

func createOutput(flag, path string) (*outputFile, error) {
	f := &outputFile{flag: flag, path: path}
	var err error
	if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
		f.file, err = os.OpenFile(path, os.O_WRONLY, 0)
	} else {
		if statErr == nil { // replace what a link points to, not the link
			if f.path, err = filepath.EvalSymlinks(path); err != nil {
				return nil, fmt.Errorf("%s: cannot create: %w", flag, withoutPath(err))
			}
		}
		f.temporary = f.path + ".partial"
		f.file, err = os.Create(f.temporary)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot create: %w", flag, withoutPath(err))
	}
	return f, nil
}

func (f *outputFile) commit() error {
	err := f.file.Close()
	if err == nil && f.temporary != "" {
		err = os.Rename(f.temporary, f.path)
	}
	if err != nil {
		return fmt.Errorf("%s: cannot write: %w", f.flag, withoutPath(err))
	}
	f.temporary = ""
	return nil
}

func (f *outputFile) discard() {
	f.file.Close()
	if f.temporary != "" {
		os.Remove(f.temporary)
	}
}

// withoutPath drops the path from an error of the file system; the flag's name says which file it was.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}
