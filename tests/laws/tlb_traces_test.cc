// TLB counts on traces of real programs equal those of a plain functional model, exactly, per level and page size.
//
//   COLLAPSAR_TRACES=DIR build/release/tests/laws_tests --gtest_filter='*TlbTraces*'      # every trace of a folder, whole
//
// Without the variable: the first references of traces/quickstart.ctr. Each trace is played twice, with 4 KiB pages alone
// and with 2 MiB pages for all but low addresses and those of programs and heaps (kParts), with one miss at a time and
// the threads in the file's order. Each is then played as the default machine plays it; what overlap changes is printed.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/laws/plain_tlb.h"
#include "tests/laws/recordings.h"
#include "tests/support/cpu_bench.h"

namespace collapsar::test {
namespace {

constexpr std::uint64_t kUserEnd = 1ULL << 47;
struct Part {
  std::uint64_t start, end;
  unsigned size;
};
constexpr Part kParts[] = {{0, 1ULL << 36, 0},                 // programs that are not relocated
                           {1ULL << 36, 0x55ULL << 40, 1},     // memory of programs that were traced by an instrumenter
                           {0x55ULL << 40, 0x57ULL << 40, 0},  // relocated programs and their heaps
                           {0x57ULL << 40, kUserEnd, 1}};      // mappings and stacks
constexpr std::uint64_t kReferencesWithoutFolder = 3'000'000;

// --- the trace, made simple: every process is there with all of user space mapped; memory may be given back ---

class SimpleSource : public TraceSource {
 public:
  SimpleSource(std::unique_ptr<TraceSource> source, bool has_huge) : source_(std::move(source)), has_huge_(has_huge) {
    info_.resident.emplace();
  }
  const TraceInfo& info() const override { return info_; }
  void rewind() override { source_->rewind(), known_.clear(), pending_.clear(); }
  std::optional<TraceItem> next() override {
    while (pending_.empty()) {
      std::optional<TraceItem> item = source_->next();
      if (!item) return std::nullopt;
      if (const auto* run = std::get_if<TraceRun>(&*item)) introduce(run->pid, run->tid), pending_.push_back(*item);
      else give_back(std::get<TraceEvent>(*item));
    }
    TraceItem item = std::move(pending_.front());
    pending_.erase(pending_.begin());
    return item;
  }

 private:
  void introduce(std::uint32_t pid, std::uint32_t tid) {
    if (!known_.insert(pid).second) return;
    TraceEvent process;
    process.op = TraceEvent::Op::process, process.pid = pid, process.tid = tid;
    pending_.emplace_back(process);
    for (const Part& part : kParts) map(process, part.start, part.end, part.size > 0 && has_huge_ ? 0x40022 : 0x22);
  }
  void map(TraceEvent e, std::uint64_t start, std::uint64_t end, std::uint32_t flags) {
    e.op = TraceEvent::Op::mmap, e.address = start, e.length = end - start, e.prot = 7, e.map_flags = flags;
    pending_.emplace_back(e);
  }
  // munmap, mremap, MADV_DONTNEED and MADV_FREE become a call that drops the pages of the range.
  void give_back(const TraceEvent& e) {
    using Op = TraceEvent::Op;
    const bool drops =
        e.op == Op::munmap || e.op == Op::mremap || (e.op == Op::madvise && (e.advice == 4 || e.advice == 8));
    if (!drops || e.length == 0 || !known_.contains(e.pid)) return;
    TraceEvent drop;
    drop.op = Op::madvise, drop.pid = e.pid, drop.tid = e.tid, drop.advice = 4;
    drop.address = align_down(e.address, kPageBytes),
    drop.length = align_up(e.address + e.length, kPageBytes) - drop.address;
    pending_.emplace_back(drop);
  }

  std::unique_ptr<TraceSource> source_;
  bool has_huge_;
  TraceInfo info_;
  std::set<std::uint32_t> known_;
  std::vector<TraceItem> pending_;
};

unsigned size_at(std::uint64_t va, bool has_huge) {
  for (const Part& part : kParts)
    if (has_huge && va < part.end) return part.size;
  return 0;
}

void play_plain(TraceSource& source, PlainTlb& plain, bool has_huge) {
  std::map<std::uint32_t, std::uint32_t> spaces;  // of each process
  while (std::optional<TraceItem> item = source.next()) {
    if (const auto* event = std::get_if<TraceEvent>(&*item)) {
      if (event->op == TraceEvent::Op::process) spaces.emplace(event->pid, std::uint32_t(spaces.size() + 1));
      if (event->op == TraceEvent::Op::madvise)
        plain.flush(spaces.at(event->pid), event->address, event->address + event->length);
      continue;
    }
    const auto& run = std::get<TraceRun>(*item);
    plain.run(spaces.at(run.pid));
    for (const Record& r : run.records)
      for (std::uint64_t page = r.va >> 12; page <= (r.va + r.size - 1) >> 12; ++page) {
        const unsigned size = size_at(page << 12, has_huge);
        plain.look_up_and_fill(page << 12, size, r.kind == RefKind::fetch, is_write(r.kind));
      }
  }
}

// --- the default machine's TLBs, written down once more ---

PlainTlb plain_skylake() {
  const auto array = [](std::uint64_t sets, unsigned ways4k, unsigned ways2m) {
    PlainArray a;
    a.sets = sets, a.ways[0] = ways4k, a.ways[1] = ways2m;
    return a;
  };
  PlainTlb tlb;
  tlb.l1i.arrays = {array(16, 8, 0), array(1, 0, 8)};
  tlb.l1d.arrays = {array(16, 4, 0), array(8, 0, 4)};
  tlb.l2d.arrays = {array(128, 12, 12)};
  return tlb;
}

MmuStats play_machine(TraceSource& source, std::uint32_t outstanding, Interleave interleave) {
  CpuBenchConfig config;
  config.cpu.outstanding = outstanding, config.cpu.interleave = interleave;
  CpuBench bench(config, source);
  bench.prepare();
  bench.run();
  return bench.mmus[0]->stats();
}

void expect_equal(const TlbStats& model, const PlainLevel& plain, const char* level) {
  for (unsigned size = 0; size < kSizes; ++size) {
    EXPECT_EQ(model.hits_by[size], plain.hits[size]) << level << " hits, size " << size;
    EXPECT_EQ(model.misses_by[size], plain.misses[size]) << level << " misses, size " << size;
  }
}

void print(const char* what, const MmuStats& m) {
  const auto level = [](const TlbStats& s) {
    return fmt::format("{}+{} / {}+{}", s.hits_by[0], s.hits_by[1], s.misses_by[0], s.misses_by[1]);
  };
  fmt::print("[    INFO  ]   {:<8} l1i {}; l1d {}; l2 {}; merged {}, walks {}\n", what, level(m.l1i), level(m.l1d),
             level(m.l2), m.walks_merged, m.walks);
}

// --- the traces ---

class TlbTraces : public ::testing::TestWithParam<std::pair<const std::string, std::vector<std::string>>> {};

TEST_P(TlbTraces, CountsEqualThoseOfAPlainModel) {
  const auto& [name, files] = GetParam();
  for (const bool has_huge : {false, true}) {
    const auto source = [&] {
      std::unique_ptr<TraceSource> trace = open_trace(files);
      if (!has_trace_folder()) trace = make_window(std::move(trace), 0, kReferencesWithoutFolder);
      return SimpleSource(std::move(trace), has_huge);
    };
    PlainTlb plain = plain_skylake();
    SimpleSource for_plain = source(), for_machine = source(), overlapped = source();
    play_plain(for_plain, plain, has_huge);
    const MmuStats m = play_machine(for_machine, 1, Interleave::trace);
    expect_equal(m.l1i, plain.l1i, "l1i");
    expect_equal(m.l1d, plain.l1d, "l1d");
    expect_equal(m.l2, plain.l2d, "l2");
    EXPECT_EQ(m.walks_merged, 0U);
    EXPECT_GT(m.l1d.hits, 0U);

    const MmuStats o = play_machine(overlapped, CpuConfig{}.outstanding, Interleave::trace);
    EXPECT_EQ(o.walks + o.walks_merged, o.l2.misses + o.walks_repeated);
    fmt::print("[    INFO  ] {}, {}: hits 4K+2M / misses 4K+2M\n", name, has_huge ? "2 MiB and 4 KiB" : "4 KiB");
    print("exact", m);
    print("overlap", o);
  }
}

INSTANTIATE_TEST_SUITE_P(Recorded, TlbTraces, ::testing::ValuesIn(recordings()),
                         [](const auto& p) { return p.param.first; });

}  // namespace
}  // namespace collapsar::test
