#include "models/mem/cache.h"

#include <algorithm>
#include <stdexcept>

namespace collapsar {
namespace {

constexpr std::uint64_t kLineBytes = CacheArray::kLineBytes, kMostSets = CacheArray::kMostSets;

void validate_level(const char* name, const CacheLevelConfig& level) {
  const std::uint64_t set_bytes = kLineBytes * level.ways;
  if (level.ways == 0 || level.ways > CacheArray::kMostWays)
    throw std::invalid_argument(
        fmt::format("{}.ways: found {}, expected 1 to {}", name, level.ways, CacheArray::kMostWays));
  if (level.size.value == 0 || level.size.value % set_bytes != 0)
    throw std::invalid_argument(fmt::format("{}.size: found {}, expected a multiple of ways x line = {} x {} bytes",
                                            name, to_text(level.size), level.ways, kLineBytes));
  if (level.size.value / set_bytes > kMostSets)
    throw std::invalid_argument(
        fmt::format("{}.size: {} sets, expected at most {}", name, level.size.value / set_bytes, kMostSets));
  if (level.replacement == CacheReplacement::plru && !std::has_single_bit(level.ways))
    throw std::invalid_argument(fmt::format("{}.ways: found {}, expected a power of two with plru", name, level.ways));
  if (level.replacement == CacheReplacement::adaptive && level.size.value / set_bytes < CacheArray::kLeaders)
    throw std::invalid_argument(fmt::format("{}.size: {} sets, expected at least {} with adaptive, whose sets compare",
                                            name, level.size.value / set_bytes, CacheArray::kLeaders));
  if (!(level.cold_share >= 0 && level.cold_share <= 1))
    throw std::invalid_argument(fmt::format("{}.cold_share: found {}, expected 0 to 1", name, level.cold_share));
}

}  // namespace

void CachesConfig::validate() const {
  if (line != kLineBytes) throw std::invalid_argument(fmt::format("line: found {}, expected {}", line, kLineBytes));
  validate_level("l1d", l1d);
  if (l1i) validate_level("l1i", *l1i);
  if (l2) validate_level("l2", *l2);
  if (l3) validate_level("l3", *l3);
  if (l1d.shared || (l1i && l1i->shared) || (l2 && l2->shared))
    throw std::invalid_argument("shared: only l3 can be shared by all CPUs");
}

// ---- CacheHierarchy: levels

CacheHierarchy::CacheHierarchy(EventQueue& queue, Dram& dram, const CachesConfig& config, std::uint32_t cpus,
                               Clock core_clock, std::uint64_t seed)
    : queue_(queue),
      dram_(dram),
      core_clock_(core_clock),
      cpus_(cpus),
      shares_last_level_(config.l3 && config.l3->shared) {
  if (config.l1i) build_level(kL1i, *config.l1i, cpus, seed);
  build_level(kL1d, config.l1d, cpus, seed);
  if (config.l2) build_level(kL2, *config.l2, cpus, seed);
  if (config.l3) build_level(kL3, *config.l3, config.l3->shared ? 1 : cpus, seed);
  paths_.resize(cpus);
  for (std::uint32_t cpu = 0; cpu < cpus; ++cpu)
    for (const CacheEntry entry : {CacheEntry::l1d, CacheEntry::l1i, CacheEntry::l2})
      paths_[cpu][static_cast<std::size_t>(entry)] = path_from(entry, cpu);
}

void CacheHierarchy::build_level(std::uint32_t level, const CacheLevelConfig& config, std::uint32_t instances,
                                 std::uint64_t seed) {
  const std::uint64_t sets = config.size.value / (kLineBytes * config.ways);
  arrays_[level].reserve(instances);
  for (std::uint32_t i = 0; i < instances; ++i)
    arrays_[level].emplace_back(sets, config.ways, config.replacement,
                                ColdLines{config.cold_share, Random(seed, fmt::format("caches.{}.{}", level, i))});
  first_array_[level] = arrays_[level].data();
  own_array_[level] = instances == 1 ? 0 : ~0U;
  latency_[level] = config.latency;
  is_inclusive_[level] = config.inclusive;
}

CacheHierarchy::Path CacheHierarchy::path_from(CacheEntry entry, std::uint32_t cpu) {
  Path path;
  const auto pass = [&](std::uint32_t level) {
    if (!has_level(level)) return;
    path.steps[path.count++] = {&array(level, cpu), &stats_[level], level, latency_[level]};
    path.to_memory = latency_[level];
  };
  if (entry == CacheEntry::l1d) pass(kL1d);
  if (entry == CacheEntry::l1i) pass(kL1i);
  pass(kL2);
  pass(kL3);
  return path;
}

CacheHierarchy::Lookup CacheHierarchy::access(const Path& on, std::uint32_t from, std::uint32_t cpu, std::uint64_t line,
                                              bool write) {
  for (std::uint32_t i = from; i < on.count; ++i) {
    const Step& at = on.steps[i];
    if (!at.array->touch(line, write && i == 0)) {
      ++at.stats->misses;
      continue;
    }
    ++at.stats->hits;
    for (std::uint32_t above = i; above-- > 0;)
      evict(on.steps[above].level, cpu, on.steps[above].array->insert(line, write && above == 0));
    return {std::max(at.level, kL1d), at.latency};
  }
  return {kMemory, on.to_memory};
}

void CacheHierarchy::evict(std::uint32_t level, std::uint32_t cpu, CacheArray::Victim victim) {
  if (victim.line == CacheArray::kNoLine) return;
  bool dirty = victim.dirty;
  if (is_inclusive_[level] && level > kL1d) dirty |= drop_above(level, cpu, victim.line);
  if (!dirty) return;
  ++stats_[level].writebacks;
  write_below(level, cpu, victim.line);
}

// Takes `line` out of the levels above, of every CPU that this level serves. True if one of them held newer data.
bool CacheHierarchy::drop_above(std::uint32_t level, std::uint32_t cpu, std::uint64_t line) {
  bool dirty = false;
  const bool serves_all = level == kL3 && shares_last_level_;
  const std::uint32_t first = serves_all ? 0 : cpu, end = serves_all ? cpus_ : cpu + 1;
  for (std::uint32_t above = level; above-- > 0;) {
    if (!has_level(above)) continue;
    for (std::uint32_t c = first; c < end; ++c) dirty |= arrays_[above][c].remove(line) == CacheArray::Removed::dirty;
  }
  return dirty;
}

void CacheHierarchy::write_below(std::uint32_t level, std::uint32_t cpu, std::uint64_t line) {
  ++lines_written_below_;
  std::uint32_t below = std::max(level, kL1d) + 1;
  while (below < kLevels && !has_level(below)) ++below;
  if (below == kLevels) return dram_.post_write({line << kLineShift});
  if (!array(below, cpu).mark_dirty(line)) evict(below, cpu, array(below, cpu).insert(line, true));
}

// ---- CacheHierarchy: misses in flight

void CacheHierarchy::fetch(LineFetch& fetch, std::uint32_t cpu, PhysAddr address, bool write, CacheEntry entry,
                           Event& done, Time begins) {
  SIM_ASSERT(!fetch.busy_, "fetch of {:#x} reuses that of line {:#x}", address.value, fetch.line_);
  const Path& on = path(cpu, entry);
  fetch.caches_ = this;
  fetch.line_ = address.value >> kLineShift;
  fetch.cpu_ = cpu;
  fetch.entry_ = entry;
  fetch.write_ = write;
  fetch.busy_ = true;
  fetch.done_ = &done;
  fetch.next_joined_ = nullptr;
  fetch.last_joined_ = &fetch;
  fetch.at_memory_ =
      std::max(queue_.now(), begins) + core_clock_.duration(std::int64_t{on.to_memory} * Clock::kSubcycles);
  if (LineFetch* const first = find_in_flight(fetch.line_, cpu)) {
    ++stats_[on.count ? on.steps[on.count - 1].level : kL1d].merged;
    first->last_joined_->next_joined_ = &fetch;
    first->last_joined_ = &fetch;
    return;
  }
  fetch.next_in_bucket_ = bucket(fetch.line_);
  bucket(fetch.line_) = &fetch;
  fetch.request_.address = {fetch.line_ << kLineShift};
  fetch.request_.done = &fetch.filled_;
  dram_.submit(fetch.request_, fetch.at_memory_);
}

// Fetches of two CPUs meet only in a level that both use.
LineFetch* CacheHierarchy::find_in_flight(std::uint64_t line, std::uint32_t cpu) {
  LineFetch* fetch = bucket(line);
  while (fetch && !(fetch->line_ == line && (shares_last_level_ || fetch->cpu_ == cpu))) fetch = fetch->next_in_bucket_;
  return fetch;
}

void CacheHierarchy::finish(LineFetch& first) {
  LineFetch** link = &bucket(first.line_);
  while (*link != &first) link = &(*link)->next_in_bucket_;
  *link = first.next_in_bucket_;
  const bool answers_here = can_answer_here(first);
  const LineFetch* before = nullptr;  // the last that has filled, if its line is still the most recent in all levels
  for (LineFetch* fetch = &first; fetch; fetch = fetch->next_joined_) {
    if (before && before->cpu_ == fetch->cpu_ && before->entry_ == fetch->entry_) mark_filled(*fetch);
    else before = fill(*fetch) ? fetch : nullptr;
    if (!answers_here) fetch->busy_ = false, queue_.schedule(*fetch->done_, answer_time(*fetch, first));
  }
  for (LineFetch *fetch = answers_here ? &first : nullptr, *next; fetch; fetch = next) {
    next = fetch->next_joined_;  // the answer may begin another fetch with it
    fetch->busy_ = false;
    queue_.run_here(*fetch->done_, !next);
  }
}

// Another CPU's miss still has to come as far as the shared level; this CPU's waited in the same fill buffer.
Time CacheHierarchy::answer_time(const LineFetch& fetch, const LineFetch& first) const {
  return fetch.cpu_ == first.cpu_ ? queue_.now() : std::max(queue_.now(), fetch.at_memory_);
}

// Whether the answers to all that wait for the line would be the next events.
bool CacheHierarchy::can_answer_here(const LineFetch& first) const {
  for (const LineFetch* fetch = &first; fetch; fetch = fetch->next_joined_)
    if (fetch->done_->phase() != Phase::completion || answer_time(*fetch, first) != queue_.now()) return false;
  return queue_.is_next(Phase::completion);
}

// From memory up, so that what an inclusive level evicts is gone from above before the line comes in there. False: another
// line was touched after this one, in some level.
bool CacheHierarchy::fill(const LineFetch& fetch) {
  const Path& on = path(fetch.cpu_, fetch.entry_);
  if (on.count == 0 && fetch.write_) dram_.post_write({fetch.line_ << kLineShift});
  const std::uint64_t before = lines_written_below_;
  for (std::uint32_t i = on.count; i-- > 0;) {
    const bool dirty = fetch.write_ && i == 0;
    evict(on.steps[i].level, fetch.cpu_, on.steps[i].array->bring(fetch.line_, dirty));
  }
  return on.count > 0 && lines_written_below_ == before;
}

// What fill() does right after a fill() of the same line on the same path.
void CacheHierarchy::mark_filled(const LineFetch& fetch) {
  if (fetch.write_) path(fetch.cpu_, fetch.entry_).steps[0].array->mark_dirty(fetch.line_);
}

LineFetch::LineFetch() = default;
void LineFetch::filled() { caches_->finish(*this); }

}  // namespace collapsar
