// Traces: what programs did, as a stream of runs of references and of address-space events in their order.
//
// Models:      nothing; this is the input. A trace holds one or many processes, each with threads.
// Order:       a source yields items in the total order of the file. Every reference has an index (0-based, counted
//              over the whole trace); an event stands before the reference that follows it.
// Errors:      TraceError with file, record number and byte offset. A source never ends early in silence.
// Source:      ../traces/README.md: `.ctr`, the text format, captured planes, and formats of others.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "sim/core/config.h"
#include "sim/core/units.h"

namespace collapsar {

enum class RefKind : std::uint8_t { fetch, load, store, modify, kernel_read, kernel_write };  // modify = load + store
// Whether it is one of them; without a branch.
template <class... Kinds>
constexpr bool is_one_of(RefKind k, Kinds... kinds) {
  return ((1U << unsigned(kinds)) | ...) >> unsigned(k) & 1;
}
constexpr bool is_write(RefKind k) { return is_one_of(k, RefKind::store, RefKind::modify, RefKind::kernel_write); }
constexpr bool is_kernel(RefKind k) { return k == RefKind::kernel_read || k == RefKind::kernel_write; }

// One reference. 16 bytes, so that a block of 65,536 is 1 MiB.
struct Record {
  std::uint64_t va = 0;
  // Retired from the end of the previous reference of this thread up to and with this one.
  std::uint32_t instructions = 0;
  std::uint16_t size = 0;  // bytes, at least 1
  RefKind kind = RefKind::load;
  std::uint8_t flags = 0;
  static constexpr std::uint8_t kDependsOnLoad = 1;  // the address was computed from what the last load returned
  bool operator==(const Record&) const = default;
};
static_assert(sizeof(Record) == 16);

// Consecutive references of one thread, with no event of any process between them. At most 65,536.
struct TraceRun {
  std::uint32_t pid = 0, tid = 0;
  std::uint64_t first_index = 0;
  std::span<const Record> records;
  // Stamps (from the start of the trace) of the first record and of the end of the run; record i is interpolated.
  std::int64_t begin_ns = 0, end_ns = 0;
  std::uint64_t reach = ~0ULL;          // no byte of its records lies above; where nobody has looked, it says nothing
  std::shared_ptr<const void> storage;  // keeps `records` alive
};

// Something a process did to its address space, or to itself.
struct TraceEvent {
  // clang-format off
  enum class Op : std::uint8_t {
    process,     // a process that exists when the trace starts (its VMAs follow); name = executable
    vma,         // one that exists at the start, or after exec: address length prot map_flags file offset name
    stack_room,  // [address, address + length): room the stack VMA above it may grow down into
    heap_room,   // [address, address + length): room brk may grow into; address = start of the heap
    mmap, munmap, mprotect, madvise, mlock, munlock,  // address length ... as the call, with the address it returned
    mremap,      // address length = old; new_address new_length
    brk,         // address = new end of the heap
    thp_disable, // prctl(PR_SET_THP_DISABLE): value = 0, 1, or 3 (except what is advised)
    fork,        // value = pid of the child; new_tid = its first thread
    thread,      // value = new thread id of the same process
    exec,        // the address space is thrown away; vma events follow
    thread_exit, exit,
    idle,        // the thread sleeps for `value` ns of simulated time; daemons run
    clear_refs,  // all accessed bits of the process are cleared (writing 1 to /proc/PID/clear_refs)
    truncated,   // the capture stopped here; the process lives on
  };
  // clang-format on
  Op op = Op::process;
  std::uint32_t pid = 0, tid = 0;
  std::uint64_t index = 0;    // of the reference it stands before
  std::int64_t stamp_ns = 0;  // from the start of the trace
  std::uint64_t address = 0, length = 0, new_address = 0, new_length = 0, offset = 0;
  std::uint64_t value = 0, new_tid = 0;
  std::uint32_t prot = 0;  // PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4
  // Linux MAP_* bits: MAP_SHARED 1, MAP_PRIVATE 2, MAP_FIXED 0x10, MAP_ANONYMOUS 0x20, MAP_GROWSDOWN 0x100,
  // MAP_LOCKED 0x2000, MAP_NORESERVE 0x4000, MAP_POPULATE 0x8000, MAP_HUGETLB 0x40000.
  std::uint32_t map_flags = 0;
  std::uint32_t advice = 0;  // Linux MADV_* number
  std::uint64_t file = 0;    // 0 = anonymous, else the same number for the same file
  std::string name;          // path, or executable
  bool operator==(const TraceEvent&) const = default;
};
std::string_view name_of(TraceEvent::Op op);  // "mmap"

using TraceItem = std::variant<TraceRun, TraceEvent>;

// What a trace says of itself.
struct TraceInfo {
  std::string name;  // file name without directories
  std::string
      format;  // "ctr", "text", "planes", "lackey", "perf", "din", "champsim", "drmemtrace", "synthetic", "memory"
  std::string program, command;
  std::uint64_t records = 0;  // references and events
  std::uint64_t references = 0;
  std::uint64_t events = 0;
  std::string hash;  // of the decoded content; the same trace in two formats may differ
  bool has_instructions = false, has_dependence = false, has_stamps = false;
  bool has_mappings = true;        // false: VMAs were inferred from what is touched
  bool complete = true;            // false: windowed or cut
  std::vector<std::string> notes;  // "VMAs inferred ...", "instruction gaps estimated: ..."; go into every report
  // Pages that the window touches and that were mapped before its first reference and not since: per pid, ascending
  // ranges. What `trace.prefault: touched` puts in place, behind the events that stand before that reference. Empty for
  // a complete trace: nothing was touched before it. Absent: unknown, touched_before_window() finds it by reading the
  // trace once.
  std::optional<std::map<std::uint32_t, std::vector<VirtRange>>> resident;
};

class TraceSource {
 public:
  virtual ~TraceSource() = default;
  virtual const TraceInfo& info() const = 0;
  // The next item in order, or nullopt at the end. Throws TraceError on a broken trace.
  virtual std::optional<TraceItem> next() = 0;
  virtual void rewind() = 0;  // back to the first item
};

class TraceSink {
 public:
  virtual ~TraceSink() = default;  // without finish(): the half-written file is removed
  virtual void put(const TraceItem& item) = 0;
  virtual void finish() = 0;  // writes the index and renames the temporary file into place
};

// --- making sources ---

// Opens one trace file, or several of one recording (one per process, or per thread), merged by time stamp and parent
// index. The format is recognised, not asked for. `.mtp.zst` names stand for NAME.mtp.zst + NAME.events.zst (+
// NAME.json), a folder for the drmemtrace in it.
std::unique_ptr<TraceSource> open_trace(const std::vector<std::string>& files);
// References from memory (Python, tests): one process, one thread; VMAs inferred unless `events` has them.
std::unique_ptr<TraceSource> make_memory_trace(std::vector<Record> records, std::vector<TraceEvent> events,
                                               std::string name);
// Wraps `source` and stops after `limit` references (0 = no limit), skipping the first `skip` (their events are kept).
std::unique_ptr<TraceSource> make_window(std::unique_ptr<TraceSource> source, std::uint64_t skip, std::uint64_t limit);
// The same window as a trace of its own, for keeping: its resident set is what the skipped part had touched and not
// dropped, whether or not the window touches it. Reads the skipped part once more.
std::unique_ptr<TraceSource> make_cut(std::unique_ptr<TraceSource> source, std::uint64_t skip, std::uint64_t limit);
// A writer of the text format if the name ends in .txt, else of `.ctr`. `info` gives program, command, notes and has_* flags; counts, hash and resident set are found while
// writing.
std::unique_ptr<TraceSink> create_trace(const std::string& file, const TraceInfo& info);
// Reads `source` to its end, then rewinds it.
std::map<std::uint32_t, std::vector<VirtRange>> touched_before_window(TraceSource& source);

// --- synthetic traces ---

struct SyntheticPattern {
  enum class Kind : std::uint8_t { touch, sequential, stride, random, zipf, chase, sparse, idle };
  Kind pattern = Kind::touch;
  Bytes footprint{};            // bytes of the region; entries of one process and equal `region` share memory
  std::string region = "main";  // name of the mapping
  std::uint32_t process = 1;    // entries of different processes follow one another too
  bool write = false;
  PageSize page = PageSize::k4K;           // 2M, 1G: hugetlb mapping
  std::uint64_t references = 0;            // 0: once over the footprint
  std::uint32_t size = 8;                  // bytes per reference
  std::uint64_t instructions_between = 3;  // between two references; a reference is one instruction more
  Bytes stride{64};                        // pattern: stride
  std::uint32_t pages_per_range = 512;     // touches the first so many of 512 pages in every 2 MiB
  double theta = 0.99;                     // pattern: zipf, skew
  Duration time{};                         // pattern: idle
  std::string madvise{};        // none | hugepage | nohugepage | collapse ...: for the whole region, before the entry
  bool clear_accessed = false;  // clear the accessed bits of the process before this entry

  template <class V>
  void describe(V& v) {
    v("pattern", pattern, "touch | sequential | stride | random | zipf | chase | sparse | idle");
    v("footprint", footprint, "bytes of the region");
    v("region", region, "name of the mapping; entries of one process that name the same region share its memory");
    v("process", process, "number of the process that does this entry");
    v("write", write, "stores instead of loads");
    v("page", page, "4K, or 2M / 1G for a hugetlb mapping");
    v("references", references, "how many; 0 = once over the footprint");
    v("size", size, "bytes per reference");
    v("instructions_between", instructions_between, "instructions between two references");
    v("stride", stride, "distance of two references of pattern stride");
    v("pages_per_range", pages_per_range, "touch only the first so many 4 KiB pages of every 2 MiB");
    v("theta", theta, "skew of pattern zipf");
    v("time", time, "length of pattern idle");
    v("madvise", madvise, "advice given to the whole region before the first reference of this entry");
    v("clear_accessed", clear_accessed, "clear the process's accessed bits before this entry");
  }
};

template <>
struct EnumNames<SyntheticPattern::Kind> {
  using Kind = SyntheticPattern::Kind;
  static constexpr std::array<std::pair<std::string_view, Kind>, 8> names{{{"touch", Kind::touch},
                                                                           {"sequential", Kind::sequential},
                                                                           {"stride", Kind::stride},
                                                                           {"random", Kind::random},
                                                                           {"zipf", Kind::zipf},
                                                                           {"chase", Kind::chase},
                                                                           {"sparse", Kind::sparse},
                                                                           {"idle", Kind::idle}}};
};

// Generates the entries one after the other; the same seed gives the same trace.
std::unique_ptr<TraceSource> make_synthetic(const std::vector<SyntheticPattern>& patterns, std::uint64_t seed);

}  // namespace collapsar
