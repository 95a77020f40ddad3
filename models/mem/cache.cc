#include "models/mem/cache.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace collapsar {
namespace {

constexpr std::uint64_t kLineBytes = 64;
constexpr std::uint64_t kMostLines = 1ULL << 44;  // of memory; with kMostSets, what set_of() is exact for
constexpr std::uint64_t kMostSets = 1ULL << 20;

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
}

// Where the first of the least of `n` words is. Requires: `n` is a multiple of 8.
std::uint32_t least_of(const std::uint32_t* words, std::uint32_t n) {
#ifdef __SSE2__
  const __m128i bias = _mm_set1_epi32(std::numeric_limits<int>::min());  // SSE2 compares signed words only
  const auto load = [&](std::uint32_t i) {
    return _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(words + i)), bias);
  };
  const auto least = [](__m128i a, __m128i b) {
    const __m128i is_greater = _mm_cmpgt_epi32(a, b);
    return _mm_or_si128(_mm_and_si128(is_greater, b), _mm_andnot_si128(is_greater, a));
  };
  __m128i all = load(0);
  for (std::uint32_t i = 4; i < n; i += 4) all = least(all, load(i));
  all = least(all, _mm_shuffle_epi32(all, _MM_SHUFFLE(1, 0, 3, 2)));
  all = least(all, _mm_shuffle_epi32(all, _MM_SHUFFLE(2, 3, 0, 1)));  // in all four words
  for (std::uint32_t i = 0; i + 4 < n; i += 4)
    if (const int at = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(load(i), all))))
      return i + std::uint32_t(std::countr_zero(unsigned(at)));
  const int at = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(load(n - 4), all)));
  return n - 4 + std::uint32_t(std::countr_zero(unsigned(at)));
#else
  return std::uint32_t(std::min_element(words, words + n) - words);
#endif
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

// ---- CacheArray

CacheArray::CacheArray(std::uint64_t sets, std::uint32_t ways, CacheReplacement replacement)
    : sets_(sets),
      reciprocal_(std::has_single_bit(sets) ? 0 : ~0ULL / sets + 1),
      ways_(ways),
      stride_(std::uint32_t(align_up(ways, 8))),
      tag_shift_(unsigned(std::bit_width(sets)) - 1),
      is_lru_(replacement == CacheReplacement::lru) {
  words_.assign(sets * 2 * stride_, 0);
  for (std::uint64_t set = 0; set < sets; ++set) {
    std::fill_n(tags_of(set), stride_, kEmpty);
    std::fill_n(states_of(set) + ways_, stride_ - ways_, ~0U);  // no way of the set: never the oldest
  }
  if (!is_lru_) trees_.assign(sets, 0);
}

// The one line of the set among those that share `tag`.
std::uint64_t CacheArray::line_of(std::uint64_t set, std::uint32_t tag) const {
  const std::uint64_t first = std::uint64_t{tag} << tag_shift_, first_set = set_of(first);
  return first + (set >= first_set ? set - first_set : set + sets_ - first_set);
}

bool CacheArray::mark_dirty(std::uint64_t line) {
  const std::uint64_t set = set_of(line), hits = ways_with(set, tag_of(line));
  if (hits == 0) return false;
  states_of(set)[std::countr_zero(hits)] |= kDirty;
  return true;
}

CacheArray::Victim CacheArray::insert(std::uint64_t line, bool dirty) {
  SIM_ASSERT(line >> tag_shift_ < kEmpty && line < kMostLines, "address {:#x} too high for a cache of {} sets",
             line * kLineBytes, sets_);
  const std::uint64_t set = set_of(line);
  const std::uint32_t way = victim_way(set);
  std::uint32_t& tag = tags_of(set)[way];
  std::uint32_t& state = states_of(set)[way];
  const Victim victim{tag == kEmpty ? kNoLine : line_of(set, tag), tag != kEmpty && (state & kDirty) != 0};
  tag = tag_of(line);
  state = 0;
  used(set, way, dirty);
  return victim;
}

CacheArray::Removed CacheArray::remove(std::uint64_t line) {
  const std::uint64_t set = set_of(line), hits = ways_with(set, tag_of(line));
  if (hits == 0) return Removed::absent;
  const int way = std::countr_zero(hits);
  tags_of(set)[way] = kEmpty;
  const bool was_dirty = (std::exchange(states_of(set)[way], 0) & kDirty) != 0;
  return was_dirty ? Removed::dirty : Removed::clean;
}

// The times of use are used up: each way gets its rank in its set instead.
void CacheArray::count_anew() {
  std::array<std::uint32_t, kMostWays> order;
  for (std::uint64_t set = 0; set < sets_; ++set) {
    std::uint32_t* const states = states_of(set);
    std::iota(order.begin(), order.begin() + ways_, 0);
    std::sort(order.begin(), order.begin() + ways_,
              [&](std::uint32_t a, std::uint32_t b) { return states[a] < states[b]; });
    for (std::uint32_t rank = 0; rank < ways_; ++rank) {
      std::uint32_t& state = states[order[rank]];
      state = state < 2 ? state : (rank + 1) << 1 | (state & kDirty);
    }
  }
  uses_ = kMostWays;
}

void CacheArray::point_away(std::uint64_t set, std::uint32_t way) {
  std::uint32_t node = 1;
  for (std::uint32_t half = ways_ / 2; half > 0; half /= 2) {
    const bool upper = (way & half) != 0;
    const std::uint64_t bit = 1ULL << node;
    trees_[set] = upper ? trees_[set] & ~bit : trees_[set] | bit;
    node = 2 * node + upper;
  }
}

// An empty way if there is one.
std::uint32_t CacheArray::victim_way(std::uint64_t set) const {
  if (is_lru_) return least_of(states_of(set), stride_);
  const std::uint32_t* const tags = tags_of(set);
  const std::uint32_t* const empty = std::find(tags, tags + ways_, kEmpty);
  if (empty != tags + ways_) return std::uint32_t(empty - tags);
  std::uint32_t node = 1;
  while (node < ways_) node = 2 * node + ((trees_[set] >> node) & 1);
  return node - ways_;
}

// ---- CacheHierarchy: levels

CacheHierarchy::CacheHierarchy(EventQueue& queue, Dram& dram, const CachesConfig& config, std::uint32_t cpus,
                               Clock core_clock)
    : queue_(queue),
      dram_(dram),
      core_clock_(core_clock),
      cpus_(cpus),
      shares_last_level_(config.l3 && config.l3->shared) {
  if (config.l1i) build_level(kL1i, *config.l1i, cpus);
  build_level(kL1d, config.l1d, cpus);
  if (config.l2) build_level(kL2, *config.l2, cpus);
  if (config.l3) build_level(kL3, *config.l3, config.l3->shared ? 1 : cpus);
  for (const CacheEntry entry : {CacheEntry::l1d, CacheEntry::l1i, CacheEntry::l2})
    paths_[static_cast<std::size_t>(entry)] = path_from(entry);
}

void CacheHierarchy::build_level(std::uint32_t level, const CacheLevelConfig& config, std::uint32_t instances) {
  const std::uint64_t sets = config.size.value / (kLineBytes * config.ways);
  arrays_[level].assign(instances, CacheArray(sets, config.ways, config.replacement));
  latency_[level] = config.latency;
  is_inclusive_[level] = config.inclusive;
}

CacheHierarchy::Path CacheHierarchy::path_from(CacheEntry entry) const {
  Path path;
  const auto pass = [&](std::uint32_t level) {
    if (!has_level(level)) return;
    path.levels[path.count++] = std::uint8_t(level);
    path.to_memory = latency_[level];
  };
  if (entry == CacheEntry::l1d) pass(kL1d);
  if (entry == CacheEntry::l1i) pass(kL1i);
  pass(kL2);
  pass(kL3);
  return path;
}

CacheHierarchy::Lookup CacheHierarchy::access(std::uint32_t cpu, PhysAddr address, bool write, CacheEntry entry) {
  const std::uint64_t line = address.value >> kLineShift;
  const Path& on = path(entry);
  // The tags of a big cache are far away for the host, too: their way begins while the small ones are searched.
  for (std::uint32_t i = 1; i < on.count; ++i) array(on.levels[i], cpu).prefetch_all(line);
  for (std::uint32_t i = 0; i < on.count; ++i) {
    const std::uint32_t level = on.levels[i];
    if (!array(level, cpu).touch(line, write && i == 0)) {
      ++stats_[level].misses;
      continue;
    }
    ++stats_[level].hits;
    for (std::uint32_t above = i; above-- > 0;) insert(on.levels[above], cpu, line, write && above == 0);
    return {std::max(level, kL1d), latency_[level]};
  }
  return {kMemory, on.to_memory};
}

void CacheHierarchy::insert(std::uint32_t level, std::uint32_t cpu, std::uint64_t line, bool dirty) {
  const CacheArray::Victim victim = array(level, cpu).insert(line, dirty);
  if (victim.line != CacheArray::kNoLine) evict(level, cpu, victim);
}

void CacheHierarchy::evict(std::uint32_t level, std::uint32_t cpu, CacheArray::Victim victim) {
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
  std::uint32_t below = std::max(level, kL1d) + 1;
  while (below < kLevels && !has_level(below)) ++below;
  if (below == kLevels) return dram_.post_write({line << kLineShift});
  if (!array(below, cpu).mark_dirty(line)) insert(below, cpu, line, true);
}

// ---- CacheHierarchy: misses in flight

void CacheHierarchy::fetch(LineFetch& fetch, std::uint32_t cpu, PhysAddr address, bool write, CacheEntry entry,
                           Event& done) {
  SIM_ASSERT(!fetch.busy_, "fetch of {:#x} reuses that of line {:#x}", address.value, fetch.line_);
  const Path& on = path(entry);
  fetch.caches_ = this;
  fetch.line_ = address.value >> kLineShift;
  fetch.cpu_ = cpu;
  fetch.entry_ = entry;
  fetch.write_ = write;
  fetch.busy_ = true;
  fetch.done_ = &done;
  fetch.next_joined_ = nullptr;
  fetch.last_joined_ = &fetch;
  fetch.at_memory_ = queue_.now() + core_clock_.duration(std::int64_t{on.to_memory} * Clock::kSubcycles);
  if (LineFetch* const first = find_in_flight(fetch.line_, cpu)) {
    ++stats_[on.count ? on.levels[on.count - 1] : kL1d].merged;
    first->last_joined_->next_joined_ = &fetch;
    first->last_joined_ = &fetch;
    return;
  }
  for (std::uint32_t i = 0; i < on.count; ++i) array(on.levels[i], cpu).prefetch(fetch.line_);
  fetch.next_in_bucket_ = bucket(fetch.line_);
  bucket(fetch.line_) = &fetch;
  queue_.schedule(fetch.arrive_, fetch.at_memory_);
}

// Fetches of two CPUs meet only in a level that both use.
LineFetch* CacheHierarchy::find_in_flight(std::uint64_t line, std::uint32_t cpu) {
  LineFetch* fetch = bucket(line);
  while (fetch && !(fetch->line_ == line && (shares_last_level_ || fetch->cpu_ == cpu))) fetch = fetch->next_in_bucket_;
  return fetch;
}

void CacheHierarchy::arrived(LineFetch& fetch) {
  fetch.request_.address = {fetch.line_ << kLineShift};
  fetch.request_.done = &fetch.filled_;
  dram_.submit(fetch.request_);
}

void CacheHierarchy::finish(LineFetch& first) {
  LineFetch** link = &bucket(first.line_);
  while (*link != &first) link = &(*link)->next_in_bucket_;
  *link = first.next_in_bucket_;
  for (LineFetch *fetch = &first, *next; fetch; fetch = next) {
    next = fetch->next_joined_;
    fill(*fetch);
    fetch->busy_ = false;
    // Another CPU's miss still has to come as far as the shared level; this CPU's waited in the same fill buffer.
    const bool came_along = fetch->cpu_ == first.cpu_;
    queue_.schedule(*fetch->done_, came_along ? queue_.now() : std::max(queue_.now(), fetch->at_memory_));
  }
}

// From memory up, so that what an inclusive level evicts is gone from above before the line comes in there.
void CacheHierarchy::fill(const LineFetch& fetch) {
  const Path& on = path(fetch.entry_);
  for (std::uint32_t i = on.count; i-- > 0;) {
    const bool dirty = fetch.write_ && i == 0;
    if (!array(on.levels[i], fetch.cpu_).touch(fetch.line_, dirty))
      insert(on.levels[i], fetch.cpu_, fetch.line_, dirty);
  }
  if (on.count == 0 && fetch.write_) dram_.post_write({fetch.line_ << kLineShift});
}

LineFetch::LineFetch() = default;
void LineFetch::arrive() { caches_->arrived(*this); }
void LineFetch::filled() { caches_->finish(*this); }

}  // namespace collapsar
