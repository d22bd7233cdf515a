// Go's archive readers and the reference implementation of eStargz against assay's archive.
//
// `go test ./...` here; the Rust half is bundle/examples/archive_oracle.rs, which is run through cargo.
package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
)

// assay runs the Rust half and returns its lines.
func assay(t *testing.T, verb, file string) []string {
	t.Helper()
	cargo := os.Getenv("CARGO")
	if cargo == "" {
		cargo = "cargo"
	}
	command := exec.Command(cargo, "run", "--quiet", "--package", "assay-bundle", "--example", "archive_oracle", "--", verb, file)
	command.Dir = "../../.."
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("archive_oracle %s: %v\n%s", verb, err, stderr.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func line(name string, content []byte) string {
	return fmt.Sprintf("%x %d %s", sha256.Sum256(content), len(content), name)
}

// written makes an archive with assay and returns its path and what assay says is in it.
func written(t *testing.T) (string, []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "oracle.tar.gz")
	return file, assay(t, "write", file)
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	sort.Strings(got)
	sort.Strings(want)
	if len(want) < 2 {
		t.Fatalf("nothing to compare with: %q", want)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// withoutManifest leaves out what was written after the listing was made.
func withoutManifest(lines []string) []string {
	var kept []string
	for _, each := range lines {
		if !strings.HasSuffix(each, " manifest.json") {
			kept = append(kept, each)
		}
	}
	return kept
}

func TestGoReadsTheTar(t *testing.T) {
	file, want := written(t)
	opened, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	unzipped, err := gzip.NewReader(opened)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{}
	links := map[string]string{}
	first := ""
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = header.Name
		}
		if header.Name == estargz.TOCTarName {
			t.Fatal("the index is a member of the tar")
		}
		if !header.ModTime.Equal(time.Unix(1_700_000_000, 0)) {
			t.Fatalf("%s: modified %s", header.Name, header.ModTime)
		}
		name := strings.TrimPrefix(header.Name, "oracle/")
		switch header.Typeflag {
		case tar.TypeReg:
			if contents[name], err = io.ReadAll(reader); err != nil {
				t.Fatal(err)
			}
		case tar.TypeSymlink:
			links[name] = path.Join(path.Dir(name), header.Linkname)
		default:
			t.Fatalf("%s has type %c", header.Name, header.Typeflag)
		}
	}
	if first != "oracle/version.yaml" {
		t.Fatalf("the first member is %s", first)
	}
	var got []string
	for name, content := range contents {
		got = append(got, line(name, content))
	}
	for name, target := range links {
		got = append(got, line(name, contents[target]))
	}
	equal(t, withoutManifest(got), want)
}

func TestEstargzReadsTheIndex(t *testing.T) {
	file, want := written(t)
	opened, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		t.Fatal(err)
	}
	reader, err := estargz.Open(io.NewSectionReader(opened, 0, info.Size()))
	if err != nil {
		t.Fatal(err)
	}
	root, ok := reader.Lookup("oracle")
	if !ok {
		t.Fatal("the index has no top folder")
	}
	var got []string
	var walk func(string, *estargz.TOCEntry)
	walk = func(folder string, entry *estargz.TOCEntry) {
		entry.ForeachChild(func(base string, child *estargz.TOCEntry) bool {
			name := path.Join(folder, base)
			target := name
			switch child.Type {
			case "dir":
				walk(name, child)
				return true
			case "symlink":
				target = path.Join(path.Dir(name), child.LinkName)
			}
			got = append(got, line(strings.TrimPrefix(name, "oracle/"), content(t, reader, target)))
			return true
		})
	}
	walk("oracle", root)
	equal(t, withoutManifest(got), want)
}

// content reads a file chunk by chunk, comparing each with its digest.
func content(t *testing.T, reader *estargz.Reader, name string) []byte {
	t.Helper()
	opened, err := reader.OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var whole []byte
	for int64(len(whole)) < opened.Size() {
		chunk, ok := reader.ChunkEntryForOffset(name, int64(len(whole)))
		if !ok {
			t.Fatalf("%s has no chunk at %d", name, len(whole))
		}
		bytes := make([]byte, chunk.ChunkSize)
		if _, err := opened.ReadAt(bytes, chunk.ChunkOffset); err != nil {
			t.Fatalf("%s at %d: %v", name, chunk.ChunkOffset, err)
		}
		if digest := fmt.Sprintf("sha256:%x", sha256.Sum256(bytes)); digest != chunk.ChunkDigest {
			t.Fatalf("%s at %d: digest %s, the index says %s", name, chunk.ChunkOffset, digest, chunk.ChunkDigest)
		}
		whole = append(whole, bytes...)
	}
	return whole
}

// samples are members of archives that Go writes.
func samples() map[string][]byte {
	return map[string][]byte{
		"version.yaml": []byte("v"),
		"empty":        {},
		"long.log":     bytes.Repeat([]byte("a line of a log\n"), 300_000),
		strings.Repeat("d", 120) + "/" + strings.Repeat("n", 140): []byte("long name"),
		"ünï/cødé": []byte("not ASCII"),
	}
}

func tarOf(t *testing.T, format tar.Format) []byte {
	t.Helper()
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for name, content := range samples() {
		header := &tar.Header{Name: "go/" + name, Mode: 0o644, Size: int64(len(content)), Format: format}
		if err := writer.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	link := &tar.Header{Name: "go/link", Typeflag: tar.TypeSymlink, Linkname: "ünï/cødé", Format: format}
	if err := writer.WriteHeader(link); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAssayReadsWhatGoWrites(t *testing.T) {
	compressed := func(raw []byte) []byte {
		var out bytes.Buffer
		writer := gzip.NewWriter(&out)
		if _, err := writer.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	stargz := func(raw []byte) []byte {
		blob, err := estargz.Build(io.NewSectionReader(bytes.NewReader(raw), 0, int64(len(raw))))
		if err != nil {
			t.Fatal(err)
		}
		defer blob.Close()
		all, err := io.ReadAll(blob)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	zipped := func() []byte {
		var out bytes.Buffer
		writer := zip.NewWriter(&out)
		for name, content := range samples() {
			member, err := writer.Create("go/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := member.Write(content); err != nil {
				t.Fatal(err)
			}
		}
		header := &zip.FileHeader{Name: "go/link"}
		header.SetMode(os.ModeSymlink | 0o777)
		link, err := writer.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := link.Write([]byte("ünï/cødé")); err != nil {
			t.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	var want []string
	for name, content := range samples() {
		want = append(want, line(name, content))
	}
	want = append(want, line("link", samples()["ünï/cødé"]))
	for name, archive := range map[string][]byte{
		"PAX tar":    tarOf(t, tar.FormatPAX),
		"GNU tar":    tarOf(t, tar.FormatGNU),
		"PAX tar.gz": compressed(tarOf(t, tar.FormatPAX)),
		"GNU tar.gz": compressed(tarOf(t, tar.FormatGNU)),
		"eStargz":    stargz(tarOf(t, tar.FormatPAX)),
		"zip":        zipped(),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "archive")
			if err := os.WriteFile(file, archive, 0o600); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, each := range assay(t, "list", file) {
				// Go's eStargz has landmarks of its own, and assay says why it does not use its index.
				if !strings.Contains(each, "landmark") && !strings.HasPrefix(each, "problem: the archive's index is not used") {
					got = append(got, each)
				}
			}
			equal(t, got, want)
		})
	}
}
