// Synthetic traces: the entries one after the other, each over its region of memory.
#include <algorithm>
#include <tuple>

#include "sim/core/error.h"
#include "sim/trace/trace_bytes.h"
#include "sim/trace/trace_patterns.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

using Op = TraceEvent::Op;
using PatternKind = SyntheticPattern::Kind;

// Linux, include/uapi/asm-generic/mman-common.h.
constexpr std::pair<std::string_view, std::uint32_t> kAdvice[] = {
    {"dontneed", 4}, {"free", 8},           {"hugepage", 14},       {"nohugepage", 15}, {"cold", 20},
    {"pageout", 21}, {"populate_read", 22}, {"populate_write", 23}, {"collapse", 25}};
constexpr std::uint32_t kMapPrivateAnonymous = 0x22, kMapHugetlb = 0x40000;
constexpr unsigned kMapHugeShift = 26;  // MAP_HUGE_SHIFT: the page size's logarithm stands from here

// Regions begin here: far from null, and low enough for four levels of page table.
constexpr std::uint64_t kFirstRegion = 0x10'0000'0000;

struct Region {
  std::uint32_t process = 1;
  std::string name;
  PageSize page = PageSize::k4K;
  std::uint64_t base = 0, bytes = 0;
};

[[noreturn]] void fail(std::size_t entry, const std::string& what) {
  throw ConfigError(fmt::format("trace.synthetic[{}].{}", entry, what));
}

std::uint32_t advice_number(std::size_t entry, const std::string& name) {
  std::string known;
  for (const auto& [text, number] : kAdvice) {
    if (text == name) return number;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", text);
  }
  fail(entry, fmt::format("madvise: '{}' is unknown; none or one of {} is right", name, known));
}

bool has_advice(const SyntheticPattern& p) { return !p.madvise.empty() && p.madvise != "none"; }

void check(const SyntheticPattern& p, std::size_t i) {
  if (p.process == 0) fail(i, "process: 0; processes are numbered from 1");
  if (has_advice(p)) advice_number(i, p.madvise);
  if (p.pattern == PatternKind::idle) {
    if (p.time <= Duration::zero()) fail(i, "time: an idle entry lasts longer than 0, for example 60s");
    return;
  }
  if (p.size == 0 || p.size > kPageBytes) fail(i, fmt::format("size: {}; 1 to {} bytes is right", p.size, kPageBytes));
  if (p.footprint.value < std::max<std::uint64_t>(p.size, 64))
    fail(i, fmt::format("footprint: {}; at least 64 B and one reference is right", to_text(p.footprint)));
  if (p.footprint.value > 16 * kTiB)
    fail(i, fmt::format("footprint: {}; at most 16TiB is right", to_text(p.footprint)));
  if (p.pattern == PatternKind::stride && p.stride.value == 0) fail(i, "stride: 0; at least 1B is right");
  if (p.pages_per_range == 0 || p.pages_per_range > kHugePages)
    fail(i, fmt::format("pages_per_range: {}; 1 to {} is right", p.pages_per_range, kHugePages));
  if (p.pages_per_range != kHugePages && p.page != PageSize::k4K)
    fail(i, "pages_per_range: goes with page: 4K only; a hugetlb page has no parts");
  if (p.pattern == PatternKind::zipf && !(p.theta >= 0 && p.theta <= 10))
    fail(i, fmt::format("theta: {}; 0 to 10 is right", p.theta));
  if (p.pattern == PatternKind::zipf && p.footprint.value < kPageBytes)
    fail(i, "footprint: zipf chooses among pages; at least 4KiB is right");
  if (p.instructions_between >= UINT32_MAX) fail(i, "instructions_between: at most 4294967294 is right");
}

class SyntheticSource : public TraceSource {
 public:
  SyntheticSource(const std::vector<SyntheticPattern>& patterns, std::uint64_t seed);
  const TraceInfo& info() const override { return info_; }
  std::optional<TraceItem> next() override;
  void rewind() override;

 private:
  void plan_regions();
  void plan_events();
  void describe();
  const Region& region_of(const SyntheticPattern& p) const;
  TraceEvent map_event(const Region& region) const;
  std::vector<TraceEvent> entry_events(std::size_t i) const;

  std::vector<SyntheticPattern> patterns_;
  std::uint64_t seed_;
  std::vector<Region> regions_;      // in order of first mention
  std::vector<TraceEvent> events_;   // in order, indices set
  std::vector<std::uint64_t> ends_;  // reference index behind every entry
  TraceInfo info_;
  BufferPool pool_;
  std::size_t event_ = 0, entry_ = 0;
  std::uint64_t at_ = 0;
  std::optional<PatternCursor> cursor_;
};

SyntheticSource::SyntheticSource(const std::vector<SyntheticPattern>& patterns, std::uint64_t seed)
    : patterns_(patterns), seed_(seed) {
  if (patterns_.empty()) throw ConfigError("trace.synthetic: no entry; at least one is right");
  for (std::size_t i = 0; i < patterns_.size(); ++i) check(patterns_[i], i);
  plan_regions();
  plan_events();
  describe();
}

// A region is as long as the largest footprint of its entries. It begins at a multiple of 2 MiB (or of its page size);
// a hole of at least one page keeps neighbours from becoming one VMA.
void SyntheticSource::plan_regions() {
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    const SyntheticPattern& p = patterns_[i];
    if (p.pattern == PatternKind::idle) continue;
    const auto is_it = [&](const Region& r) { return r.process == p.process && r.name == p.region; };
    auto region = std::find_if(regions_.begin(), regions_.end(), is_it);
    if (region == regions_.end()) region = regions_.insert(region, {p.process, p.region, p.page, 0, 0});
    if (region->page != p.page)
      fail(i, fmt::format("page: region '{}' has another page size in an earlier entry; one per region is right",
                          p.region));
    region->bytes = std::max(region->bytes, align_up(p.footprint.value, page_bytes(p.page)));
  }
  std::map<std::uint32_t, std::uint64_t> free;  // per process
  for (Region& region : regions_) {
    std::uint64_t& next = free.try_emplace(region.process, kFirstRegion).first->second;
    region.base = align_up(next, std::max(kHugeBytes, page_bytes(region.page)));
    next = region.base + region.bytes + kPageBytes;
  }
}

const Region& SyntheticSource::region_of(const SyntheticPattern& p) const {
  return *std::find_if(regions_.begin(), regions_.end(),
                       [&](const Region& r) { return r.process == p.process && r.name == p.region; });
}

TraceEvent SyntheticSource::map_event(const Region& region) const {
  TraceEvent e;
  e.op = Op::mmap, e.pid = region.process, e.tid = 1;
  e.address = region.base, e.length = region.bytes;
  e.prot = 3, e.map_flags = kMapPrivateAnonymous;  // PROT_READ | PROT_WRITE
  if (region.page != PageSize::k4K) e.map_flags |= kMapHugetlb | page_shift(region.page) << kMapHugeShift;
  e.name = region.name;
  return e;
}

std::vector<TraceEvent> SyntheticSource::entry_events(std::size_t i) const {
  const SyntheticPattern& p = patterns_[i];
  std::vector<TraceEvent> events;
  TraceEvent e;
  e.pid = p.process, e.tid = 1;
  if (p.clear_accessed) e.op = Op::clear_refs, events.push_back(e);
  if (p.pattern == PatternKind::idle) {
    e.op = Op::idle, e.value = static_cast<std::uint64_t>(p.time.count() / 1000);
    events.push_back(e);
  } else if (has_advice(p)) {
    const Region& region = region_of(p);
    e.op = Op::madvise, e.address = region.base, e.length = region.bytes, e.advice = advice_number(i, p.madvise);
    events.push_back(e);
  }
  return events;
}

void SyntheticSource::plan_events() {
  std::vector<std::uint32_t> processes;
  for (const SyntheticPattern& p : patterns_) {
    if (std::find(processes.begin(), processes.end(), p.process) == processes.end()) processes.push_back(p.process);
  }
  for (const std::uint32_t process : processes) {
    TraceEvent e;
    e.op = Op::process, e.pid = process, e.tid = 1, e.name = "synthetic";
    events_.push_back(e);
  }
  for (const Region& region : regions_) events_.push_back(map_event(region));
  std::uint64_t index = 0;
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    for (TraceEvent& e : entry_events(i)) {
      e.index = index;
      events_.push_back(std::move(e));
    }
    index += PatternCursor::count(patterns_[i]);
    ends_.push_back(index);
  }
}

void SyntheticSource::describe() {
  info_.name = info_.format = info_.program = "synthetic";
  info_.references = ends_.back(), info_.events = events_.size();
  info_.records = info_.references + info_.events;
  info_.has_instructions = info_.has_dependence = true;
  info_.resident.emplace();  // nothing is there before the first reference
  ByteWriter all;
  all.u64(seed_);
  for (const SyntheticPattern& p : patterns_) {
    all.text(fmt::format("{} {} {} {} {} {} {} {} {}", static_cast<int>(p.pattern), p.footprint.value, p.region,
                         p.process, p.write, static_cast<int>(p.page), p.references, p.size, p.instructions_between));
    all.text(fmt::format("{} {} {} {} {} {}", p.stride.value, p.pages_per_range, p.theta, p.time.count(), p.madvise,
                         p.clear_accessed));
  }
  info_.hash = fmt::format("{:016x}", fnv1a(all.bytes));
}

void SyntheticSource::rewind() {
  event_ = entry_ = 0;
  at_ = 0;
  cursor_.reset();
}

std::optional<TraceItem> SyntheticSource::next() {
  if (event_ < events_.size() && events_[event_].index == at_) return events_[event_++];
  while (entry_ < patterns_.size() && ends_[entry_] <= at_) ++entry_, cursor_.reset();
  if (entry_ == patterns_.size()) return std::nullopt;
  const SyntheticPattern& p = patterns_[entry_];
  if (!cursor_) cursor_.emplace(p, region_of(p).base, seed_, entry_);
  const std::shared_ptr<RecordBuffer> buffer = pool_.take();
  const std::size_t n = std::min<std::uint64_t>(cursor_->left(), kMaxRun);
  cursor_->fill({buffer->data(), n});
  TraceRun run;
  run.pid = p.process, run.tid = 1, run.first_index = at_;
  run.records = {buffer->data(), n};
  run.storage = buffer;
  at_ += n;
  return run;
}

}  // namespace

std::unique_ptr<TraceSource> make_synthetic(const std::vector<SyntheticPattern>& patterns, std::uint64_t seed) {
  return std::make_unique<SyntheticSource>(patterns, seed);
}

}  // namespace collapsar
