package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeTemp(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input.csv")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// firstDifference names the first line that differs; "" when both are equal byte for byte.
func firstDifference(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := 0; i < len(g) && i < len(w); i++ {
		if !bytes.Equal(g[i], w[i]) {
			return fmt.Sprintf("line %d: got %q, want %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

func sameBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if difference := firstDifference(got, want); difference != "" {
		t.Errorf("%s %s", what, difference)
	}
}

func TestOneByteOfDifferenceIsSeen(t *testing.T) {
	want := mustRead(t, "testdata/arrival_grown.csv")
	for i := range want {
		changed := append([]byte(nil), want...)
		changed[i] ^= 1
		if firstDifference(changed, want) == "" {
			t.Fatalf("a change of byte %d is not seen", i)
		}
	}
	if firstDifference(want[:len(want)-1], want) == "" || firstDifference(want, want) != "" {
		t.Error("a missing last newline is not seen, or equal files differ")
	}
}

// makeOrders runs the whole program and returns both files.
func makeOrders(t *testing.T, args ...string) (arrival, nodeRank []byte) {
	t.Helper()
	dir := t.TempDir()
	a, n := filepath.Join(dir, "arrival.csv"), filepath.Join(dir, "noderank.csv")
	var stdout, stderr bytes.Buffer
	if code := run(append(args, "--arrival", a, "--noderank", n), &stdout, &stderr); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	if stdout.Len()+stderr.Len() > 0 {
		t.Errorf("a good run prints nothing, this one: %q %q", stdout.String(), stderr.String())
	}
	return mustRead(t, a), mustRead(t, n)
}

func TestSmallListsGiveTheCheckedInFiles(t *testing.T) {
	for name, args := range map[string][]string{
		"grown":  {},
		"shrunk": {"--tune", "0.3", "--seeds=7,42-43"},
	} {
		a, n := makeOrders(t, append(args, "--nodes", "testdata/nodes.csv", "--pods", "testdata/pods.csv")...)
		sameBytes(t, "arrival_"+name, a, mustRead(t, "testdata/arrival_"+name+".csv"))
		sameBytes(t, "noderank_"+name, n, mustRead(t, "testdata/noderank_"+name+".csv"))
	}
}

// The same pods in another row order, with other columns, quotes, a byte order mark and CRLF: the arrivals must name
// the same pods, because the protocol sorts by name.
func TestTheOrderHangsOnNamesAndNotOnTheFormOfTheFile(t *testing.T) {
	rows := []string{"pod-6,0,0", "pod-5,1,810", "pod-4,1,260", "pod-3,2,1000", "pod-2,0,", "pod-1,1,1000", `"pod-0","1","500"`}
	pods := writeTemp(t, "\ufeffname,num_gpu,gpu_milli\r\n"+strings.Join(rows, "\r\n")+"\r\n")
	a, n := makeOrders(t, "--nodes", "testdata/nodes.csv", "--pods", pods)
	mirrored := strings.NewReplacer("0", "6", "1", "5", "2", "4", "4", "2", "5", "1", "6", "0").Replace
	header, body, _ := strings.Cut(string(mustRead(t, "testdata/arrival_grown.csv")), "\n")
	sameBytes(t, "arrival", a, []byte(header+"\n"+mirrored(body)))
	sameBytes(t, "noderank", n, mustRead(t, "testdata/noderank_grown.csv"))
}

// The published runs called rand.Seed of Go 1.19 or older. These are its first numbers for seed 42.
func TestTheGeneratorIsTheClassicOne(t *testing.T) {
	rng := rand.New(rand.NewSource(42))
	for i, want := range []int64{3440579354231278675, 608747136543856411, 5571782338101878760} {
		if got := rng.Int63(); got != want {
			t.Errorf("number %d of seed 42 is %d, want %d", i, got, want)
		}
	}
}

func TestTuneSetsTheDemandOfAnOrder(t *testing.T) {
	pods := []pod{{"a", 1000, 2}, {"b", 500, 1}, {"c", 0, 0}, {"d", 250, 1}} // 2750 milli-GPU
	demand := func(arrival []int) (sum int64) {
		for _, row := range arrival {
			sum += pods[row].totalGPUMilli()
		}
		return sum
	}
	for seed := int64(0); seed < 200; seed++ {
		for _, target := range []float64{0, 2750} { // no target, or the target that the list has already
			o, err := makeOrder(pods, 3, target, seed)
			if err != nil || len(o.arrival) != len(pods) || demand(o.arrival) != 2750 {
				t.Fatalf("seed %d target %v: arrivals %v, error %v; want each pod once", seed, target, o.arrival, err)
			}
		}
		o, err := makeOrder(pods, 3, 1000, seed)
		if err != nil || demand(o.arrival) > 1000 {
			t.Fatalf("seed %d: arrivals %v, error %v; want at most 1000 milli-GPU", seed, o.arrival, err)
		}
		// Growth looks at one GPU of the last pod, so two-GPU pods may carry it past the target by up to 1000.
		o, err = makeOrder(pods, 3, 9000, seed)
		if got := demand(o.arrival); err != nil || got <= 8000 || got > 10000 {
			t.Fatalf("seed %d: demand %d, error %v; want in (8000, 10000]", seed, got, err)
		}
	}
}

func TestGrowthThatNeverArrivesIsAnError(t *testing.T) {
	pods := make([]pod, 1000)
	pods[0] = pod{"a", 1, 1}
	if _, err := makeOrder(pods, 1, 1e9, 42); err == nil || !strings.Contains(err.Error(), "at most 2000000 arrivals") {
		t.Errorf("got %v, want an error that names the limit", err)
	}
	if _, err := makeOrder(pods[1:], 1, 1000, 42); err == nil || !strings.Contains(err.Error(), "--pods") {
		t.Errorf("got %v, want an error about the demand of --pods", err)
	}
}

func TestHelpGivesAnExample(t *testing.T) {
	for _, flag := range []string{"--help", "-h"} {
		var stdout, stderr bytes.Buffer
		if code := run([]string{flag}, &stdout, &stderr); code != exitDone || !strings.Contains(stdout.String(), "Example") || stderr.Len() > 0 {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", flag, code, stdout.String(), stderr.String())
		}
	}
}

func TestBadCommandLinesAreNamed(t *testing.T) {
	nodes, pods := "--nodes=testdata/nodes.csv", "--pods=testdata/pods.csv"
	out := "--arrival=" + filepath.Join(t.TempDir(), "a.csv")
	long := strings.Repeat("7", 100)
	for _, c := range []struct {
		args []string
		code int
		want []string // parts of the message
	}{
		{[]string{}, exitUsage, []string{"--nodes and --pods are both needed"}},
		{[]string{nodes, out}, exitUsage, []string{"--nodes and --pods are both needed"}},
		{[]string{nodes, pods}, exitUsage, []string{"nothing to write", "--arrival", "--noderank"}},
		{[]string{nodes, pods, out, "--sseds", "1"}, exitUsage, []string{`"--sseds" is not a flag`, "accepted", "--seeds"}},
		{[]string{nodes, pods, out, "stray"}, exitUsage, []string{`"stray" is not a flag`}},
		{[]string{nodes, pods, out, "--seeds"}, exitUsage, []string{"--seeds has no value"}},
		{[]string{nodes, pods, out, "--seeds="}, exitUsage, []string{`--seeds is ""`}},
		{[]string{nodes, pods, out, "--tune=1", "--tune=2"}, exitUsage, []string{"--tune is given twice"}},
		{[]string{nodes, pods, out, "--tune=-0.1"}, exitUsage, []string{`--tune is "-0.1"`, "0..100"}},
		{[]string{nodes, pods, out, "--tune=100.1"}, exitUsage, []string{`"100.1"`, "0..100"}},
		{[]string{nodes, pods, out, "--tune=nan"}, exitUsage, []string{`"nan"`, "0..100"}},
		{[]string{nodes, pods, out, "--tune=inf"}, exitUsage, []string{`"inf"`, "0..100"}},
		{[]string{nodes, pods, out, "--tune=1.3x"}, exitUsage, []string{`"1.3x"`, "0..100"}},
		{[]string{nodes, pods, out, "--seeds=51-42"}, exitUsage, []string{`"51-42"`, "rising"}},
		{[]string{nodes, pods, out, "--seeds=-1"}, exitUsage, []string{`--seeds is "-1"`, "0..9223372036854775807"}},
		{[]string{nodes, pods, out, "--seeds=1,,2"}, exitUsage, []string{`"1,,2"`}},
		{[]string{nodes, pods, out, "--seeds=+1"}, exitUsage, []string{`"+1"`}},
		{[]string{nodes, pods, out, "--seeds=9223372036854775808"}, exitUsage, []string{"9223372036854775808"}},
		{[]string{nodes, pods, out, "--seeds=1-3,2"}, exitUsage, []string{"2 is named twice"}},
		{[]string{nodes, pods, out, "--seeds=0-1000"}, exitUsage, []string{"too many seeds", "1000"}},
		{[]string{nodes, pods, out, "--seeds=0-9223372036854775807"}, exitUsage, []string{"too many seeds"}},
		{[]string{nodes, pods, out, "--seeds=" + long}, exitUsage, []string{long[:maxShown] + `"...`}},
		{[]string{nodes, pods, "--arrival=testdata/../testdata/pods.csv"}, exitUsage, []string{"--arrival names the same file as --pods"}},
		{[]string{nodes, pods, "--arrival=none/x", "--noderank=./none/x"}, exitUsage, []string{"--noderank names the same file as --arrival"}},
		{[]string{"--nodes=absent.csv", pods, out}, exitFailed, []string{"--nodes: cannot open: no such file"}},
		{[]string{nodes, "--pods=testdata", out}, exitFailed, []string{"--pods: cannot read: is a directory"}},
		{[]string{nodes, pods, "--noderank=absent/x.csv"}, exitFailed, []string{"--noderank: cannot create: no such file"}},
	} {
		var stdout, stderr bytes.Buffer
		code := run(c.args, &stdout, &stderr)
		if code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, code, c.code)
		}
		for _, part := range c.want {
			if !strings.Contains(stderr.String(), part) {
				t.Errorf("%q: %q lacks %q", c.args, stderr.String(), part)
			}
		}
		if strings.Contains(stderr.String(), "absent") || stdout.Len() > 0 {
			t.Errorf("%q: a message holds a path, or stands on stdout: %q %q", c.args, stderr.String(), stdout.String())
		}
	}
}

func TestBadFilesAreNamedWithLineAndColumnAndNothingIsWritten(t *testing.T) {
	const podHeader, nodeHeader = "name,num_gpu,gpu_milli\n", "sn,gpu\n"
	for _, c := range []struct {
		flag, content string
		want          []string
	}{
		{"--pods", "", []string{"--pods: the file is empty", "gpu_milli"}},
		{"--pods", podHeader, []string{"--pods: the file has 0 data rows"}},
		{"--pods", "name,gpu_milli\na,1\n", []string{"--pods line 1: column num_gpu stands 0 times"}},
		{"--pods", "name,num_gpu,name,gpu_milli\na,1,b,1\n", []string{"column name stands 2 times", "once"}},
		{"--pods", podHeader + "a,1,500\nb,1\n", []string{"--pods line 3: wrong number of fields", "accepted: 3"}},
		{"--pods", podHeader + "a,1,500\nb,1,5", []string{""}}, // a last line without its newline is whole
		{"--pods", podHeader + "a,1,500\na,1,400\n", []string{"--pods line 3 column 1", `name is "a"`, "line 2"}},
		{"--pods", podHeader + ",1,500\n", []string{"--pods line 2 column 1", `name is ""`}},
		{"--pods", podHeader + "a,-1,500\n", []string{"--pods line 2 column 3", `num_gpu is "-1"`, "0..1000"}},
		{"--pods", podHeader + "a,1001,500\n", []string{`num_gpu is "1001"`, "0..1000"}},
		{"--pods", podHeader + "a,99999999999999999999,500\n", []string{`"99999999999999999999"`, "0..1000"}},
		{"--pods", podHeader + "a,1,0\n", []string{"--pods line 2 column 5", `gpu_milli is "0"`, "1..1000"}},
		{"--pods", podHeader + "a,1,1e3\n", []string{`"1e3"`, "1..1000"}},
		{"--pods", podHeader + "a,1,NaN\n", []string{`"NaN"`}},
		{"--pods", podHeader + "a,1,\n", []string{`gpu_milli is ""`}},
		{"--pods", podHeader + "\"a\",1,500\n\"b,1,500\n", []string{"--pods line 3", "quotes"}},
		{"--pods", podHeader + "a,1,50\"0\n", []string{"--pods line 2", "quotes"}},
		{"--pods", podHeader + "a,1,\x00\n", []string{`gpu_milli is "\x00"`}},
		{"--pods", podHeader + "a,0,\nb,0,7\n", []string{"--pods: the sum of num_gpu x gpu_milli is 0"}},
		{"--nodes", nodeHeader + "a,1\na,2\n", []string{"--nodes line 3 column 1", `sn is "a"`, "line 2"}},
		{"--nodes", nodeHeader + "a,1\nb,x\n", []string{"--nodes line 3 column 3", `gpu is "x"`, "0..1000"}},
		{"--nodes", nodeHeader + ",1\n", []string{`sn is ""`}},
		{"--nodes", nodeHeader + "a,0\n", []string{"--nodes: the sum of gpu is 0"}},
		{"--nodes", "name,gpu\na,1\n", []string{"column sn stands 0 times"}},
	} {
		nodes, pods := "testdata/nodes.csv", "testdata/pods.csv"
		if c.flag == "--nodes" {
			nodes = writeTemp(t, c.content)
		} else {
			pods = writeTemp(t, c.content)
		}
		dir := t.TempDir()
		out := filepath.Join(dir, "arrival.csv")
		var stdout, stderr bytes.Buffer
		code := run([]string{"--nodes", nodes, "--pods", pods, "--arrival", out}, &stdout, &stderr)
		wantCode := exitFailed
		if c.want[0] == "" {
			wantCode = exitDone
		}
		if code != wantCode {
			t.Errorf("%q: exit code %d, want %d", c.content, code, wantCode)
		}
		for _, part := range c.want {
			if !strings.Contains(stderr.String(), part) {
				t.Errorf("%q: %q lacks %q", c.content, stderr.String(), part)
			}
		}
		left, err := os.ReadDir(dir)
		if err != nil || (wantCode == exitFailed && len(left) > 0) {
			t.Errorf("%q: a failed run left %v, error %v", c.content, left, err)
		}
	}
}

func TestAFailedRunKeepsTheOldFile(t *testing.T) {
	old := writeTemp(t, "old")
	var stdout, stderr bytes.Buffer
	args := []string{"--nodes=testdata/nodes.csv", "--pods=testdata/pods.csv", "--arrival", old}
	if code := run(append(args, "--noderank=absent/x.csv"), &stdout, &stderr); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	sameBytes(t, "the old file", mustRead(t, old), []byte("old"))
	if left, _ := os.ReadDir(filepath.Dir(old)); len(left) != 1 {
		t.Errorf("files left: %v, want the old one alone", left)
	}
	if code := run(args, &stdout, &stderr); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	sameBytes(t, "the new file", mustRead(t, old), mustRead(t, "testdata/arrival_grown.csv"))
}

func TestAPlaceThatIsNoRegularFileIsWrittenDirectly(t *testing.T) {
	if _, err := os.Stat("/dev/null"); err != nil {
		t.Skip("SKIPPED: this system has no /dev/null")
	}
	var stdout, stderr bytes.Buffer
	args := []string{"--nodes=testdata/nodes.csv", "--pods=testdata/pods.csv", "--arrival=/dev/null", "--noderank=/dev/null"}
	if code := run(args, &stdout, &stderr); code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode().IsRegular() {
		t.Errorf("/dev/null is no device any more: %v, error %v", info, err)
	}
}
