// The recorder of the capture tool's streams: what becomes of words, in which order processes stand, and what it refuses.
#include "sim/trace/trace_capture.h"

#include "sim/core/random.h"
#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;
using Op = TraceEvent::Op;

constexpr std::uint64_t kStartNs = 1000, kMapped = 0x10000;

// What the tool would send.
class Raw {
 public:
  Raw& message(RawType type, std::vector<std::uint64_t> words, const std::string& text) {
    words.push_back(text.size());
    words.resize(words.size() + (text.size() + 7) / 8);
    if (!text.empty()) std::memcpy(&words[words.size() - (text.size() + 7) / 8], text.data(), text.size());
    return raw(type, words);
  }
  Raw& raw(RawType type, const std::vector<std::uint64_t>& words) {
    out_.u32(static_cast<std::uint32_t>(type)), out_.u32(static_cast<std::uint32_t>(words.size() * 8));
    for (const std::uint64_t word : words) out_.u64(word);
    return *this;
  }
  Raw& hello(std::uint64_t pid, std::uint64_t parent, bool is_forked) {
    return message(RawType::hello, {kRawVersion, pid, parent, is_forked, 1, kStartNs}, "program");
  }
  // 256 KiB of anonymous memory.
  Raw& vma() { return message(RawType::area, {0, kMapped, 0x40000, 3, 0x22, 0, 0, 0}, ""); }
  Raw& references(std::vector<std::uint64_t> words, std::uint64_t tid = 1) {
    words.insert(words.begin(), {kStartNs + 100, kStartNs + 200, tid});
    return raw(RawType::references, words);
  }
  Raw& fork(std::uint64_t child) { return message(RawType::fork, {kStartNs + 250, 1, child}, ""); }
  Raw& end() { return message(RawType::exit, {kStartNs + 300, 1}, ""); }
  std::span<const std::uint8_t> bytes() const { return out_.bytes; }

 private:
  ByteWriter out_;
};

std::uint64_t raw_word(RefKind kind, std::uint64_t va, unsigned size, unsigned gap, bool is_repeat = false) {
  return va | static_cast<std::uint64_t>(kind) << 48 | static_cast<std::uint64_t>(size - 1) << 51 |
         static_cast<std::uint64_t>(is_repeat) << 56 | static_cast<std::uint64_t>(gap) << 57;
}
std::uint64_t raw_load(std::uint64_t va, unsigned gap = 1) { return raw_word(RefKind::load, va, 8, gap); }
std::uint64_t raw_fetch(std::uint64_t va, unsigned gap = 1) { return raw_word(RefKind::fetch, va, 4, gap); }

struct CaptureRecording {
  explicit CaptureRecording(CaptureOptions options = {}) : recorder(folder.file("a.ctr"), TraceInfo{}, options) {}
  CaptureRecorder::Stream& stream(const Raw& raw) {
    CaptureRecorder::Stream& s = recorder.open();
    recorder.put(s, raw.bytes());
    return s;
  }
  FlatTrace trace(TraceInfo* info = nullptr) {
    summary = recorder.finish();
    return read_twice({folder.file("a.ctr")}, info);
  }
  TemporaryFolder folder;
  CaptureRecorder recorder;
  CaptureSummary summary;
};

FlatTrace record(const std::vector<std::uint64_t>& words, CaptureOptions options = {}, CaptureSummary* s = nullptr) {
  CaptureRecording r(options);
  r.recorder.close(r.stream(Raw().hello(7, 1, false).vma().references(words).end()));
  FlatTrace flat = r.trace();
  if (s) *s = r.summary;
  return flat;
}

std::vector<Op> ops(const FlatTrace& flat) {
  std::vector<Op> found;
  for (const TraceEvent& e : flat.events) found.push_back(e.op);
  return found;
}

TEST(Capture, KeepsInstructionCountsOfFetchesThatItLeavesOut) {
  const std::vector<std::uint64_t> words = {raw_fetch(0x10000),    raw_load(0x11000, 2), raw_fetch(0x10040, 3),
                                            raw_fetch(0x10080, 4), raw_load(0x11008, 1), raw_fetch(0x12000)};
  const auto kinds = [&](CaptureFetches fetches) {
    std::vector<std::pair<RefKind, std::uint32_t>> found;
    for (const auto& r : record(words, {.fetches = fetches}).references)
      found.emplace_back(r.record.kind, r.record.instructions);
    return found;
  };
  using Kinds = std::vector<std::pair<RefKind, std::uint32_t>>;
  constexpr RefKind f = RefKind::fetch, l = RefKind::load;
  EXPECT_EQ(kinds(CaptureFetches::none), (Kinds{{l, 3}, {l, 8}}));
  EXPECT_EQ(kinds(CaptureFetches::page), (Kinds{{f, 1}, {l, 2}, {l, 8}, {f, 1}}));
  EXPECT_EQ(kinds(CaptureFetches::block), (Kinds{{f, 1}, {l, 2}, {f, 3}, {f, 4}, {l, 1}, {f, 1}}));
}

TEST(Capture, JoinsTheElementsOfAStringInstructionWithinALine) {
  std::vector<std::uint64_t> words = {raw_fetch(0x10000, 1)};
  for (std::uint64_t i = 0; i < 80; ++i) {
    words.push_back(raw_word(RefKind::fetch, 0x10004, 2, 1, true));
    words.push_back(raw_word(RefKind::load, 0x11000 + i, 1, 0, true));
    words.push_back(raw_word(RefKind::store, 0x12020 + i, 1, 0, true));
  }
  words.push_back(raw_load(0x13000, 1));
  const FlatTrace flat = record(words, {.fetches = CaptureFetches::none});
  std::vector<Record> found;
  for (const auto& r : flat.references) found.push_back(r.record);
  EXPECT_EQ(found, (std::vector<Record>{{0x11000, 2, 64, RefKind::load, 0},
                                        {0x12020, 0, 32, RefKind::store, 0},
                                        {0x12040, 0, 48, RefKind::store, 0},
                                        {0x11040, 0, 16, RefKind::load, 0},
                                        {0x13000, 1, 8, RefKind::load, 0}}));
}

TEST(Capture, SplitsWhatTheKernelAccessesAtPages) {
  const FlatTrace flat = record({raw_word(RefKind::kernel_write, 0x10ff0, 1, 0), 0x1020});
  ASSERT_EQ(flat.references.size(), 3u);
  EXPECT_EQ(flat.references[0].record, (Record{0x10ff0, 0, 16, RefKind::kernel_write, 0}));
  EXPECT_EQ(flat.references[1].record, (Record{0x11000, 0, 4096, RefKind::kernel_write, 0}));
  EXPECT_EQ(flat.references[2].record, (Record{0x12000, 0, 16, RefKind::kernel_write, 0}));
}

TEST(Capture, CountsReferencesOutsideAMapping) {
  CaptureSummary s;
  record({raw_load(0x11000), raw_load(0x50000), raw_load(0x50000), raw_load(0x4fffc), raw_load(0x11000)}, {}, &s);
  EXPECT_EQ(s.references, 5u);
  EXPECT_EQ(s.outside, 3u);  // the third load crosses the end of the VMA
  EXPECT_EQ(s.pages, 3u);
}

TEST(Capture, AWindowBeginsWithWhatWasTouchedBeforeAndKept) {
  CaptureRecording r({.skip = 3, .limit = 1});
  Raw raw;
  raw.hello(7, 1, false).vma().references({raw_load(0x11000), raw_load(0x12000)});
  // munmap of 0x12000
  raw.message(RawType::call, {kStartNs + 210, 1, 11, 0x12000, 0x1000, 0, 0, 0, 0, 0, 0, 0}, "");
  raw.references({raw_load(0x13000), raw_load(0x14000), raw_load(0x15000)});
  r.recorder.close(r.stream(raw));
  EXPECT_TRUE(r.recorder.is_full());
  TraceInfo info;
  const FlatTrace flat = r.trace(&info);
  ASSERT_EQ(flat.references.size(), 1u);
  EXPECT_EQ(flat.references[0].record.va, 0x14000u);
  EXPECT_EQ(ops(flat), (std::vector<Op>{Op::process, Op::vma, Op::munmap, Op::truncated}));
  EXPECT_FALSE(info.complete);
  const std::vector<VirtRange> kept = {{VirtAddr{0x11000}, VirtAddr{0x12000}}, {VirtAddr{0x13000}, VirtAddr{0x14000}}};
  ASSERT_TRUE(info.resident && info.resident->contains(7));
  EXPECT_EQ(info.resident->at(7), kept);
  EXPECT_EQ(r.summary.skipped, 3u);
}

TEST(Capture, AChildWaitsForItsParentsFork) {
  CaptureRecording r({.children = true});
  CaptureRecorder::Stream& parent = r.stream(Raw().hello(7, 1, false).vma().references({raw_load(0x11000)}));
  CaptureRecorder::Stream& child = r.stream(Raw().hello(8, 7, true).references({raw_load(0x12000)}).end());
  EXPECT_TRUE(child.is_waiting);
  r.recorder.put(parent, Raw().references({raw_load(0x13000)}).message(RawType::fork, {kStartNs, 1, 8}, "").bytes());
  EXPECT_FALSE(child.is_waiting);
  r.recorder.put(parent, Raw().references({raw_load(0x14000)}).end().bytes());
  r.recorder.close(child), r.recorder.close(parent);
  const FlatTrace flat = r.trace();
  std::vector<std::pair<std::uint32_t, std::uint64_t>> found;
  for (const auto& ref : flat.references) found.emplace_back(ref.pid, ref.record.va);
  EXPECT_EQ(found, (std::vector<std::pair<std::uint32_t, std::uint64_t>>{
                       {7, 0x11000}, {7, 0x13000}, {8, 0x12000}, {7, 0x14000}}));
  EXPECT_EQ(ops(flat), (std::vector<Op>{Op::process, Op::vma, Op::fork, Op::exit, Op::exit}));
  EXPECT_EQ(flat.events[2].index, 2u);
  EXPECT_EQ(r.summary.outside, 0u);  // the child has its parent's mappings
}

TEST(Capture, AnImageFollowsTheOneThatExecutedIt) {
  CaptureRecording r;
  CaptureRecorder::Stream& first = r.stream(
      Raw().hello(7, 1, false).vma().message(RawType::exec, {kStartNs, 1}, "").references({raw_load(0x11000)}));
  r.recorder.put(first, Raw().message(RawType::exec, {kStartNs, 1}, "").bytes());
  CaptureRecorder::Stream& second = r.stream(Raw().hello(7, 1, false).vma().references({raw_load(0x12000)}).end());
  EXPECT_TRUE(second.is_waiting);  // the first has not been read to its end
  r.recorder.close(first);
  EXPECT_FALSE(second.is_waiting);
  r.recorder.close(second);
  TraceInfo info;
  const FlatTrace flat = r.trace(&info);
  EXPECT_EQ(ops(flat), (std::vector<Op>{Op::process, Op::vma, Op::exec, Op::vma, Op::exit}));
  EXPECT_TRUE(info.complete && info.has_instructions);
}

TEST(Capture, AProcessThatIsKilledEndsWhereItsStreamEnds) {
  CaptureRecording r;
  const Raw raw = Raw().hello(7, 1, false).vma().references({raw_load(0x11000)}).references({raw_load(0x12000)});
  CaptureRecorder::Stream& s = r.recorder.open();
  r.recorder.put(s, raw.bytes().first(raw.bytes().size() - 3));
  r.recorder.close(s);
  const FlatTrace flat = r.trace();
  EXPECT_EQ(flat.references.size(), 1u);
  EXPECT_EQ(ops(flat), (std::vector<Op>{Op::process, Op::vma, Op::exit}));
}

// A thread that has exited says nothing more, its process's exit neither: the run would refuse it.
TEST(Capture, TheLastThreadEndsWithItsProcess) {
  const auto exit_of = [](std::uint64_t tid) { return Raw().message(RawType::thread_exit, {kStartNs + 250, tid}, ""); };
  const auto last_events = [&](const std::vector<std::uint64_t>& exits) {
    CaptureRecording r;
    CaptureRecorder::Stream& s = r.stream(Raw().hello(7, 1, false).vma().references({raw_load(0x11000)}));
    r.recorder.put(
        s, Raw().message(RawType::thread, {kStartNs + 210, 1, 2}, "").references({raw_load(0x12000)}, 2).bytes());
    for (const std::uint64_t tid : exits) r.recorder.put(s, exit_of(tid).bytes());
    r.recorder.put(s, Raw().end().bytes());
    r.recorder.close(s);
    std::vector<std::pair<Op, std::uint32_t>> found;
    for (const TraceEvent& e : r.trace().events)
      if (e.op == Op::thread_exit || e.op == Op::exit) found.emplace_back(e.op, e.tid);
    return found;
  };
  using Ends = std::vector<std::pair<Op, std::uint32_t>>;
  EXPECT_EQ(last_events({2, 1}), (Ends{{Op::thread_exit, 2}, {Op::exit, 1}}));
  EXPECT_EQ(last_events({1, 2}), (Ends{{Op::thread_exit, 1}, {Op::exit, 2}}));
  EXPECT_EQ(last_events({}), (Ends{{Op::exit, 1}}));
}

TEST(Capture, TakesBytesInPiecesOfAnySize) {
  const Raw raw = Raw().hello(7, 1, false).vma().references({raw_load(0x11000), raw_load(0x12000)}).end();
  const auto in_pieces = [&](std::size_t size) {
    CaptureRecording r;
    CaptureRecorder::Stream& s = r.recorder.open();
    for (std::size_t at = 0; at < raw.bytes().size(); at += size)
      r.recorder.put(s, raw.bytes().subspan(at, std::min(size, raw.bytes().size() - at)));
    r.recorder.close(s);
    return r.trace();
  };
  EXPECT_TRUE(in_pieces(1) == in_pieces(1000));
}

void expect_refusal(const Raw& raw, const std::string& what) {
  CaptureRecording r;
  try {
    r.stream(raw);
    FAIL() << "no error; expected: " << what;
  } catch (const TraceError& error) {
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(r.folder.file("a.ctr")));
}

TEST(Capture, RefusesWhatTheToolDoesNotSay) {
  expect_refusal(Raw().vma(), "no hello");
  expect_refusal(Raw().raw(static_cast<RawType>(11), {}), "a message of type 11");
  expect_refusal(Raw().message(RawType::hello, {9, 7, 1, 0, 1, kStartNs}, ""), "version 9");
  expect_refusal(Raw().message(RawType::hello, {1, 0, 1, 0, 1, kStartNs}, ""), "process 0");
  expect_refusal(Raw().hello(7, 1, false).hello(7, 1, false), "hello");
  expect_refusal(Raw().hello(7, 1, false).raw(RawType::call, {1, 2}), "words in a message");
  expect_refusal(Raw().hello(7, 1, false).raw(RawType::references, {1, 2}), "without their times");
  expect_refusal(Raw().hello(7, 1, false).raw(RawType::exit, {1, 2, 5000, 0}), "a text of 5000 bytes");
  expect_refusal(Raw().hello(7, 1, false).message(RawType::area, {3, kMapped, 0x1000, 3, 0, 0, 0, 0}, ""), "kind 3");
  expect_refusal(Raw().hello(7, 1, false).fork(0), "process 0");
  expect_refusal(Raw().hello(7, 1, false).fork((1u << 22) + 1), "process 4194305");
  Raw huge;
  huge.raw(RawType::references, std::vector<std::uint64_t>((1u << 17) + 1));
  expect_refusal(huge, "a message of");
}

// A trace numbers processes with 32 bits, the captured machine with 22.
TEST(Capture, APidComesBackAThousandTimesOnly) {
  Raw often = Raw().hello(7, 1, false);
  for (int i = 0; i < 1024; ++i) often.fork(8);
  CaptureRecording r;
  EXPECT_NO_THROW(r.recorder.close(r.stream(often)));
  EXPECT_EQ(r.trace().events.size(), 1 + 2 * 1024u + 1);  // the first process; each fork and its exit; the first's
  expect_refusal(often.fork(8), "process 8 came too often");
}

// Any bytes behind a good beginning: a trace, or a refusal, in bounded time.
TEST(Capture, SurvivesGarbledStreams) {
  Raw good;
  good.hello(7, 1, false)
      .vma()
      .references({raw_fetch(0x10000), raw_load(0x11000), raw_word(RefKind::kernel_read, 0x11000, 1, 0), 64});
  good.message(RawType::call, {kStartNs, 1, 9, 0, 0x4000, 3, 0x22, 0, 0, 0x80000, 0, 0}, "file");
  good.message(RawType::thread, {kStartNs, 1, 2}, "").references({raw_load(0x12000)}, 2);
  good.fork(8).end();
  Random random(1, "garbled");
  std::size_t refused = 0;
  constexpr int kRounds = 500;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::uint8_t> bytes(good.bytes().begin(), good.bytes().end());
    for (int i = 0; i < 3; ++i) bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.below(256));
    CaptureRecording r;
    try {
      CaptureRecorder::Stream& s = r.recorder.open();
      r.recorder.put(s, bytes);
      r.recorder.close(s);
      r.recorder.finish();
      const auto source = open_trace({r.folder.file("a.ctr")});
      while (source->next()) continue;
    } catch (const TraceError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0u);
  EXPECT_LT(refused, static_cast<std::size_t>(kRounds));
}

}  // namespace
}  // namespace collapsar
