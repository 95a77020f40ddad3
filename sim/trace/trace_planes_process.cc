#include "sim/trace/trace_planes_process.h"

#include <algorithm>

#include "sim/trace/trace_block.h"
#include "sim/trace/trace_planes_simd.h"

namespace collapsar {

namespace {

constexpr std::size_t kPlanesHeader = 16;  // "MTPLANE1", record count
constexpr std::uint64_t kAddressMask = (1ULL << 48) - 1;
constexpr std::uint64_t kSwitch = 6;  // kind: the address is a thread number
unsigned kind_of(std::uint64_t word) { return word >> 48 & 7; }

}  // namespace

PlaneRecords::PlaneRecords(const std::string& file) : stream_(file) { read_header(); }

void PlaneRecords::fail(std::uint64_t index, const std::string& what) const {
  trace_error(stream_.name(), index, kPlanesHeader + index * 8, what + " (offset after decompression)");
}

void PlaneRecords::read_header() {
  std::uint8_t header[kPlanesHeader];
  if (stream_.read(header) != sizeof header || std::memcmp(header, "MTPLANE1", 8) != 0) {
    trace_error(stream_.name(), 0, 0, "no plane header; MTPLANE1 and a record count are right");
  }
  std::memcpy(&count_, header + 8, sizeof count_);
}

void PlaneRecords::rewind() {
  stream_.rewind();
  read_header();
  words_.clear();
  first_ = 0;
}

std::size_t PlaneRecords::read_planes() {
  const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(count_ - first_, kMaxRun));
  bytes_.resize(n * 8);
  if (stream_.read(bytes_) != bytes_.size())
    fail(first_, fmt::format("the file ends too early; {} records are right", count_));
  return n;
}

std::span<const std::uint64_t> PlaneRecords::at(std::uint64_t index) {
  while (index >= first_ + words_.size()) {
    first_ += words_.size();
    const std::size_t n = read_planes();
    Planes planes;
    for (unsigned p = 0; p < 8; ++p) planes.at[p] = bytes_.data() + p * n, planes.step[p] = 1;
    words_.resize(n);
    join_planes(planes, n, words_.data());
  }
  return std::span<const std::uint64_t>(words_).subspan(static_cast<std::size_t>(index - first_));
}

PlaneRecords::Counts PlaneRecords::count_kinds() {
  Counts counts;
  while (first_ < count_) {
    const std::size_t n = read_planes();
    const std::span kinds(bytes_.data() + 6 * n, n);  // bits 48 to 55: the kind is in the lowest three
    counts.switches += static_cast<std::uint64_t>(
        std::count_if(kinds.begin(), kinds.end(), [](auto b) { return (b & 7) == kSwitch; }));
    counts.fetches +=
        static_cast<std::uint64_t>(std::count_if(kinds.begin(), kinds.end(), [](auto b) { return (b & 7) == 0; }));
    first_ += n;
  }
  check_end();
  rewind();
  return counts;
}

void PlaneRecords::check_end() {
  std::uint8_t more;
  if (stream_.read({&more, 1}) != 0) fail(count_, fmt::format("the file goes on; {} records are right", count_));
}

void PlaneProcess::rewind() {
  for (PlaneImage& image : images_) image.records->rewind();
  is_running = !is_child;
  tid_ = first().tid;
  start_image(0);
}

// A first image begins with its process and VMAs; one after an execve with exec and VMAs; that of a forked child with
// nothing: the fork has made it.
void PlaneProcess::start_image(std::size_t number) {
  image_ = number;
  at_ = 0, event_ = 0, anchor_ = 0;
  const PlaneEvents& from = image().events;
  pending_.clear();
  if (number > 0 || !is_child) {
    TraceEvent begin;
    begin.op = number == 0 ? TraceEvent::Op::process : TraceEvent::Op::exec;
    begin.pid = from.pid, begin.tid = from.tid;
    begin.stamp_ns = from.anchors.front().ns;
    begin.name = from.exe;
    pending_.push_back(begin);
    pending_.insert(pending_.end(), from.image.begin(), from.image.end());
  }
  pending_.insert(pending_.end(), from.events.begin(), from.events.end());
  advance_anchor();
}

void PlaneProcess::advance_anchor() {
  const std::vector<PlaneAnchor>& anchors = image().events.anchors;
  while (anchor_ + 1 < anchors.size() && anchors[anchor_ + 1].index <= at_) ++anchor_;
}

std::int64_t PlaneProcess::stamp(std::uint64_t index) const {
  const std::vector<PlaneAnchor>& anchors = image().events.anchors;
  const PlaneAnchor& a = anchors[anchor_];
  if (anchor_ + 1 == anchors.size()) return a.ns;
  const PlaneAnchor& b = anchors[anchor_ + 1];
  return stamp_at(a.ns, b.ns, index - a.index, b.index - a.index);
}

std::uint64_t PlaneProcess::index_at(std::int64_t ns) const {
  const std::vector<PlaneAnchor>& anchors = image().events.anchors;
  const PlaneAnchor& a = anchors[anchor_];
  if (anchor_ + 1 == anchors.size() || ns >= anchors[anchor_ + 1].ns) return image().records->count();
  const PlaneAnchor& b = anchors[anchor_ + 1];
  if (ns <= a.ns) return at_ + 1;
  const double share = static_cast<double>(ns - a.ns) / static_cast<double>(b.ns - a.ns);
  return std::max(at_ + 1, a.index + static_cast<std::uint64_t>(share * static_cast<double>(b.index - a.index)));
}

std::int64_t PlaneProcess::now() const {
  if (has_event()) return pending_[event_].stamp_ns;
  if (at_ < image().records->count()) return stamp(at_);
  return image_ + 1 < images_.size() ? images_[image_ + 1].events.anchors.front().ns : kEnd;
}

std::optional<TraceItem> PlaneProcess::take(std::int64_t until, BufferPool& pool) {
  if (has_event()) return pending_[event_++];
  if (at_ < image().records->count()) return take_run(until, pool);
  start_image(image_ + 1);
  return std::nullopt;
}

std::optional<TraceItem> PlaneProcess::take_run(std::int64_t until, BufferPool& pool) {
  PlaneRecords& records = *images_[image_].records;
  const std::vector<PlaneAnchor>& anchors = image().events.anchors;
  std::uint64_t end = std::min(records.count(), index_at(until));
  if (event_ < pending_.size()) end = std::min(end, pending_[event_].index);
  if (anchor_ + 1 < anchors.size()) end = std::min(end, anchors[anchor_ + 1].index);
  const std::span<const std::uint64_t> words = records.at(at_);
  const std::size_t n = std::min<std::uint64_t>(end - at_, words.size());
  const std::shared_ptr<RecordBuffer> buffer = pool.take();
  const std::size_t converted = convert(words.first(n), buffer->data());
  std::optional<TraceItem> item;
  if (converted > 0) {
    TraceRun run;
    run.pid = pid(), run.tid = tid_;
    run.begin_ns = stamp(at_), run.end_ns = stamp(at_ + converted);
    run.records = {buffer->data(), converted};
    run.storage = buffer;
    at_ += converted;
    item = std::move(run);
  } else {
    tid_ = static_cast<std::uint32_t>(words[0] & kAddressMask);
    ++at_;
  }
  advance_anchor();
  if (at_ == records.count()) records.check_end();
  return item;
}

// Records up to the next thread switch; returns how many.
std::size_t PlaneProcess::convert(std::span<const std::uint64_t> words, Record* out) const {
  const std::uint32_t gaps[8] = {gaps_.fetch, gaps_.data, gaps_.data, gaps_.data, 0, 0, 0, 0};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint64_t word = words[i];
    const unsigned kind = kind_of(word);
    const auto size = static_cast<std::uint16_t>(word >> 51);
    if (kind >= kSwitch || size == 0) {
      if (kind == kSwitch) return i;
      image().records->fail(at_ + i,
                            fmt::format("kind {}, size {}; kind 0 to 6 and size at least 1 is right", kind, size));
    }
    out[i] = {word & kAddressMask, gaps[kind], size, static_cast<RefKind>(kind), 0};
  }
  return words.size();
}

}  // namespace collapsar
