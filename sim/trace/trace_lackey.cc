// Valgrind lackey text: `valgrind --tool=lackey --trace-mem=yes`, with or without `--trace-syscalls=yes`.
//
// Models:      one process, one thread. `I  addr,size` is one instruction and its fetch; ` L`, ` S`, ` M` are its data
//              references. SYSCALL lines, where present, give the mappings that the program makes; a reference may be
//              glued to their tail.
// Simplified:  reference lines name no thread: all are thread 1. A forked child writes into the same log and cannot be
//              told from its parent. What exists before the first system call is inferred from what is touched.
// Fast:        two passes over the text, one to count and to infer, one to replay; no copy per line.
// Source:      traces/README.md, "Lackey"; lackey's and coregrind's output of Valgrind 3.19.
#include <algorithm>
#include <map>

#include "sim/trace/trace_infer.h"
#include "sim/trace/trace_input.h"
#include "sim/trace/trace_lackey_line.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

using Op = TraceEvent::Op;
constexpr std::uint32_t kPid = 1, kTid = 1;

// Where the program has mapped something itself, up to some moment.
class MappedRanges {
 public:
  void add(std::uint64_t start, std::uint64_t end) {
    remove(start, end);
    if (start < end) ranges_[start] = end;
  }
  void remove(std::uint64_t start, std::uint64_t end) {
    auto it = ranges_.upper_bound(start);
    if (it != ranges_.begin()) --it;
    while (it != ranges_.end() && it->first < end) {
      const auto [from, to] = *it;
      if (to <= start) {
        ++it;
        continue;
      }
      it = ranges_.erase(it);
      if (from < start) ranges_[from] = start;
      if (to > end) ranges_[end] = to;
    }
  }
  bool contains(std::uint64_t address) const {
    const auto it = ranges_.upper_bound(address);
    return it != ranges_.begin() && address < std::prev(it)->second;
  }

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;
};

// What the first pass finds.
struct LackeySurvey {
  std::uint64_t references = 0, events = 0;
  std::uint64_t heap_start = 0, heap_end = 0;  // first and highest answer of brk
  TouchedRanges unmapped;                      // touched where no system call had mapped
};

class LackeySource : public TraceSource {
 public:
  explicit LackeySource(const std::string& file);
  const TraceInfo& info() const override { return info_; }
  std::optional<TraceItem> next() override;
  void rewind() override;

 private:
  LackeySurvey survey();
  void note(const TraceEvent& e, LackeySurvey& found, MappedRanges& mapped) const;
  std::optional<TraceItem> read_run();

  LackeyLines lines_;
  TraceInfo info_;
  std::vector<TraceEvent> image_;
  BufferPool pool_;
  std::size_t image_at_ = 0;
  std::uint64_t references_ = 0;
  std::optional<TraceEvent> event_;  // read behind the run that was just yielded
};

LackeySource::LackeySource(const std::string& file) : lines_(file) {
  info_.name = file_name(file);
  info_.format = "lackey";
  info_.has_instructions = true;
  const LackeySurvey found = survey();
  image_ = found.unmapped.inferred_image(kPid, kTid, info_.name);
  info_.has_mappings = found.events > 0;
  info_.notes.push_back(found.events > 0
                            ? "VMAs of the start inferred from what is touched before any system call maps it"
                            : kInferredNote);
  if (found.heap_start > 0) {
    TraceEvent room = image_.front();
    room.op = Op::heap_room, room.name.clear();
    room.address = found.heap_start, room.length = found.heap_end - found.heap_start;
    image_.push_back(room);
  }
  info_.references = found.references, info_.events = found.events + image_.size();
  info_.records = info_.references + info_.events;
  info_.hash = hash_of_files({file});
  rewind();
}

void LackeySource::rewind() {
  lines_.rewind();
  image_at_ = 0, references_ = 0;
  event_.reset();
}

LackeySurvey LackeySource::survey() {
  LackeySurvey found;
  MappedRanges mapped;
  std::uint64_t last_page = ~0ULL;
  Record r;
  TraceEvent e;
  for (LackeyLines::Kind kind; (kind = lines_.next(r, e)) != LackeyLines::Kind::end;) {
    if (kind == LackeyLines::Kind::event) {
      e.pid = kPid, e.tid = kTid;
      ++found.events;
      note(e, found, mapped);
      last_page = ~0ULL;
      continue;
    }
    ++found.references;
    const std::uint64_t page = r.va >> kPageShift;
    if (page == last_page && (r.va + r.size - 1) >> kPageShift == page) continue;
    if (!mapped.contains(r.va) || !mapped.contains(r.va + r.size - 1)) found.unmapped.add(r);
    last_page = page;
  }
  return found;
}

void LackeySource::note(const TraceEvent& e, LackeySurvey& found, MappedRanges& mapped) const {
  const std::uint64_t start = align_down(e.address, kPageBytes), end = align_up(e.address + e.length, kPageBytes);
  if (e.op == Op::mmap) mapped.add(start, end);
  if (e.op == Op::munmap) mapped.remove(start, end);
  if (e.op == Op::mremap)
    mapped.remove(start, end), mapped.add(e.new_address, align_up(e.new_address + e.new_length, kPageBytes));
  if (e.op != Op::brk) return;
  if (found.heap_start == 0) found.heap_start = e.address;
  found.heap_end = std::max(found.heap_end, e.address);
  mapped.add(align_down(found.heap_start, kPageBytes), align_up(e.address, kPageBytes));
}

std::optional<TraceItem> LackeySource::next() {
  if (image_at_ < image_.size()) return image_[image_at_++];
  if (event_) {
    TraceEvent event = std::move(*event_);
    event_.reset();
    return event;
  }
  return read_run();
}

std::optional<TraceItem> LackeySource::read_run() {
  const std::shared_ptr<RecordBuffer> buffer = pool_.take();
  TraceEvent e;
  std::size_t n = 0;
  while (n < kMaxRun) {
    const LackeyLines::Kind kind = lines_.next((*buffer)[n], e);
    if (kind == LackeyLines::Kind::end) break;
    if (kind == LackeyLines::Kind::event) {
      e.pid = kPid, e.tid = kTid;
      e.index = references_ + n;
      event_ = e;
      break;
    }
    ++n;
  }
  if (n == 0) return event_ ? next() : std::nullopt;
  TraceRun run;
  run.pid = kPid, run.tid = kTid, run.first_index = references_;
  run.records = {buffer->data(), n};
  run.storage = buffer;
  references_ += n;
  return run;
}

}  // namespace

bool is_lackey(const std::string& file) { return LackeyLines::is_lackey(file); }

std::unique_ptr<TraceSource> open_lackey(const std::string& file) { return std::make_unique<LackeySource>(file); }

}  // namespace collapsar
