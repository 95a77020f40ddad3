// CacheHierarchy: the cache levels of all CPUs in front of Dram, shared by data and page-table lines.
//
// Models:      private L1I (optional), L1D and L2 per CPU, one L3 (shared or per CPU); set-associative, write-back,
//              write-allocate, LRU or tree-PLRU, inclusive or not; misses to the same line merge; lines are filled when
//              their data arrives.
// Policy:      what an upper level evicts goes one level down if it is dirty and is dropped if not; a fill from memory
//              fills every level. Only an `inclusive` level takes its victims out above.
// Simplified:  no coherence traffic between private caches, and none with bulk copies; no port or bank conflicts; no
//              prefetchers; real non-inclusive L3s (Skylake-SP) are filled by victims instead.
// Time:        a hit is a plain duration (total core cycles from L1); a miss is answered by an event.
// Owns:        tags and the table of misses in flight. LineFetch objects belong to the requester.
// Source:      latencies and sizes in configs/machines; structure: Intel 64 and IA-32 Architectures Optimization
//              Reference Manual, "Cache Hierarchy".
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <cstdint>
#include <new>
#include <optional>
#include <vector>

#include "models/mem/dram.h"
#include "sim/core/config.h"
#include "sim/core/stats.h"

namespace collapsar {

enum class CacheReplacement : std::uint8_t { lru, plru };
template <>
struct EnumNames<CacheReplacement> {
  static constexpr std::array<std::pair<std::string_view, CacheReplacement>, 2> names{
      {{"lru", CacheReplacement::lru}, {"plru", CacheReplacement::plru}}};
};

struct CacheLevelConfig {
  Bytes size{32 * kKiB};
  std::uint32_t ways = 8;
  std::uint32_t latency = 4;  // core cycles from the load to its use, when found here (total, not per level)
  bool shared = false;        // one for all CPUs (L3)
  bool inclusive = false;     // evicting a line here evicts it above
  CacheReplacement replacement = CacheReplacement::lru;
  template <class V>
  void describe(V& v) {
    v("size", size, "bytes");
    v("ways", ways, "lines per set; sets need not be a power of two");
    v("latency", latency, "core cycles, total, when a load finds its line here");
    v("shared", shared, "one cache for all CPUs");
    v("inclusive", inclusive, "holds every line of the levels above");
    v("replacement", replacement, "lru | plru");
  }
};

struct CachesConfig {
  std::uint32_t line = 64;
  CacheLevelConfig l1d{};
  std::optional<CacheLevelConfig> l2 = CacheLevelConfig{Bytes{kMiB}, 16, 14, false, false, CacheReplacement::lru};
  std::optional<CacheLevelConfig> l3 =
      CacheLevelConfig{Bytes{13 * kMiB + 768 * kKiB}, 11, 68, true, false, CacheReplacement::lru};
  std::optional<CacheLevelConfig> l1i;
  template <class V>
  void describe(V& v) {
    v("line", line, "bytes of a line; 64");
    v("l1d", l1d, "first level, data");
    v("l2", l2, "second level, or none");
    v("l3", l3, "third level, or none");
    v("l1i", l1i, "first level, instructions; none = fetches use the ITLB only");
  }
  void validate() const;
};

struct CacheLevelStats {
  std::uint64_t hits = 0, misses = 0, writebacks = 0, merged = 0;
  template <class V>
  void describe(V& v) {
    v("hits", hits, "look-ups", "found the line");
    v("misses", misses, "look-ups", "did not find the line");
    v("merged", merged, "look-ups", "misses that joined a fetch of the same line already under way");
    v("writebacks", writebacks, "lines", "dirty lines evicted to the level below");
  }
};

enum class CacheEntry : std::uint8_t { l1d, l1i, l2 };  // the level at which a look-up enters

// Tags of one cache: sets x ways. A hit compares all ways of the set at once, without a branch for each, and writes one
// word: the way's time of use and whether it is dirty. The search for the oldest is left to the rarer insert(). What
// belongs to a set lies side by side: with 8 ways in one cache line of the host, with 16 in two.
class CacheArray {
 public:
  static constexpr std::uint64_t kNoLine = ~0ULL;
  static constexpr std::uint32_t kMostWays = 64;  // bits in the masks of a set
  enum class Removed : std::uint8_t { absent, clean, dirty };
  struct Victim {
    std::uint64_t line;  // kNoLine: there was room
    bool dirty;
  };

  CacheArray(std::uint64_t sets, std::uint32_t ways, CacheReplacement replacement);

  // Whether `line` is here; if so it becomes most recent, and dirty if `write`.
  bool touch(std::uint64_t line, bool write) {
    const std::uint64_t set = set_of(line), hits = ways_with(set, tag_of(line));
    if (hits == 0) return false;
    used(set, static_cast<std::uint32_t>(std::countr_zero(hits)), write);
    return true;
  }
  // Marks `line` dirty and leaves its age alone. False if it is not here.
  bool mark_dirty(std::uint64_t line);
  // Puts `line` in as the most recent. Requires: it is not here.
  Victim insert(std::uint64_t line, bool dirty);
  Removed remove(std::uint64_t line);
  // Lets the host bring in what insert() will read beyond what a missed touch() has.
  void prefetch(std::uint64_t line) const { __builtin_prefetch(states_of(set_of(line))); }
  // The same for touch() and, with it, for insert().
  void prefetch_all(std::uint64_t line) const {
    const std::uint32_t* const tags = tags_of(set_of(line));
    for (std::uint32_t way = 0; way < 2 * stride_; way += 16) __builtin_prefetch(tags + way);
  }
  // For tests: the next use is the last that fits before ages are counted anew.
  void age_to_the_end() { uses_ = kMostUses; }

 private:
  static constexpr std::uint32_t kEmpty = ~0U;
  static constexpr std::uint32_t kDirty = 1;  // in a state word, below the time of use
  static constexpr std::uint32_t kMostUses = ~0U >> 1;
  __extension__ typedef unsigned __int128 Wide;
  template <class T>
  struct HostLines {  // allocates whole cache lines of the host
    using value_type = T;
    static constexpr std::align_val_t kLine{64};
    T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
    void deallocate(T* at, std::size_t) { ::operator delete(at, kLine); }
    bool operator==(const HostLines&) const { return true; }
  };

  // line modulo sets. Without a division: the quotient is the high half of line * ceil(2^64 / sets), exact while
  // line * sets < 2^64 (Granlund and Montgomery, PLDI 1994), so for addresses below 2^50 and 2^20 sets.
  std::uint64_t set_of(std::uint64_t line) const {
    if (reciprocal_ == 0) return line & (sets_ - 1);
    return line - std::uint64_t((Wide{line} * reciprocal_) >> 64) * sets_;
  }
  // Lines of one set lie at least `sets` apart, so without their low log2(sets) bits they still differ. insert()
  // asserts that the tag fits: with 64 sets up to 16 TiB of memory.
  std::uint32_t tag_of(std::uint64_t line) const { return static_cast<std::uint32_t>(line >> tag_shift_); }
  std::uint64_t line_of(std::uint64_t set, std::uint32_t tag) const;
  std::uint32_t* tags_of(std::uint64_t set) { return words_.data() + set * 2 * stride_; }
  const std::uint32_t* tags_of(std::uint64_t set) const { return words_.data() + set * 2 * stride_; }
  std::uint32_t* states_of(std::uint64_t set) { return tags_of(set) + stride_; }
  const std::uint32_t* states_of(std::uint64_t set) const { return tags_of(set) + stride_; }
  // Bit w: way w of the set holds `tag`.
  std::uint64_t ways_with(std::uint64_t set, std::uint32_t tag) const {
    const std::uint32_t* const tags = tags_of(set);
    std::uint64_t hits = 0;
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
    for (std::uint32_t way = 0; way < stride_; way += 8) {
      const auto* const eight = reinterpret_cast<const __m128i*>(tags + way);
      const __m128i low = _mm_cmpeq_epi32(_mm_loadu_si128(eight), wanted);
      const __m128i high = _mm_cmpeq_epi32(_mm_loadu_si128(eight + 1), wanted);
      const __m128i equal = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());  // a byte for each way
      hits |= std::uint64_t(static_cast<unsigned>(_mm_movemask_epi8(equal))) << way;
    }
#else
    for (std::uint32_t way = 0; way < stride_; ++way) hits |= std::uint64_t{tags[way] == tag} << way;
#endif
    return hits;
  }
  // Keeps a dirty way dirty.
  void used(std::uint64_t set, std::uint32_t way, bool write) {
    std::uint32_t& state = states_of(set)[way];
    if (is_lru_) [[likely]] {
      if (uses_ == kMostUses) [[unlikely]]
        count_anew();
      state = (++uses_ << 1) | (state & kDirty) | std::uint32_t{write};
    } else {
      state |= std::uint32_t{write};
      point_away(set, way);
    }
  }
  void count_anew();
  void point_away(std::uint64_t set, std::uint32_t way);
  std::uint32_t victim_way(std::uint64_t set) const;

  std::vector<std::uint32_t, HostLines<std::uint32_t>> words_;  // set by set: `stride_` tags, as many states
  std::vector<std::uint64_t> trees_;  // PLRU, by set: bit n is node n, root 1; it points to the older half
  std::uint64_t sets_;
  std::uint64_t reciprocal_;  // 0: a power of two
  std::uint32_t uses_ = 0;
  std::uint32_t ways_, stride_;
  unsigned tag_shift_;
  bool is_lru_;
};

class CacheHierarchy;

// One miss on its way to memory. Owned by the requester, not moved while it lives, not reused before its `done`.
class LineFetch {
 public:
  LineFetch();
  LineFetch(const LineFetch&) = delete;
  LineFetch& operator=(const LineFetch&) = delete;
  bool busy() const { return busy_; }

 private:
  friend class CacheHierarchy;
  void arrive();  // the miss is at the memory controller
  void filled();  // the data is there

  CacheHierarchy* caches_ = nullptr;
  std::uint64_t line_ = 0;
  std::uint32_t cpu_ = 0;
  CacheEntry entry_ = CacheEntry::l1d;
  bool write_ = false, busy_ = false;
  Time at_memory_{};  // when it reaches the controller
  Event* done_ = nullptr;
  DramRequest request_;
  LineFetch* next_in_bucket_ = nullptr;
  LineFetch* next_joined_ = nullptr;  // later fetches of the same line, in order
  LineFetch* last_joined_ = nullptr;
  Event arrive_ = event<&LineFetch::arrive>(this, "cache.miss", Phase::completion);
  Event filled_ = event<&LineFetch::filled>(this, "cache.fill", Phase::completion);
};

class CacheHierarchy {
 public:
  static constexpr std::uint32_t kMemory = 0;  // "found in no level"
  struct Lookup {
    std::uint32_t level;    // 1, 2, 3, or kMemory
    std::uint32_t latency;  // core cycles until the data is there, or until the miss reaches the memory controller
  };

  // Requires: config.validate() passes.
  CacheHierarchy(EventQueue& queue, Dram& dram, const CachesConfig& config, std::uint32_t cpus, Clock core_clock);
  CacheHierarchy(const CacheHierarchy&) = delete;
  CacheHierarchy& operator=(const CacheHierarchy&) = delete;

  // Fast path of a data reference: true if the line is in this CPU's L1D (made most recent; dirty if `write`). Counts
  // the hit; on false nothing is counted and access() must follow.
  bool hit_l1d(std::uint32_t cpu, PhysAddr address, bool write) {
    if (!arrays_[kL1d][cpu].touch(address.value >> kLineShift, write)) return false;
    ++stats_[kL1d].hits;
    return true;
  }
  std::uint32_t l1d_latency() const { return latency_[kL1d]; }
  // Looks a line up in all levels from `entry` on, counts, and fills the levels above a hit. On kMemory nothing is
  // filled: call fetch().
  Lookup access(std::uint32_t cpu, PhysAddr address, bool write, CacheEntry entry);
  // After access() returned kMemory: the miss reaches the controller `latency` cycles from now, goes to Dram (or joins
  // a fetch of the same line), fills the levels from `entry` on when the data is there, and then schedules `done`.
  void fetch(LineFetch& fetch, std::uint32_t cpu, PhysAddr address, bool write, CacheEntry entry, Event& done);
  CacheLevelStats& stats(std::uint32_t level) { return stats_[level]; }  // 0 = l1i, 1 = l1d, 2, 3; summed over CPUs
  bool has_level(std::uint32_t level) const { return !arrays_[level].empty(); }

 private:
  friend class LineFetch;
  static constexpr unsigned kLineShift = 6;
  static constexpr std::uint32_t kL1i = 0, kL1d = 1, kL2 = 2, kL3 = 3, kLevels = 4;
  static constexpr std::uint32_t kBuckets = 64;
  struct Path {  // the levels that a look-up passes
    std::array<std::uint8_t, 3> levels{};
    std::uint32_t count = 0;
    std::uint32_t to_memory = 0;  // core cycles: latency of the last level
  };

  void build_level(std::uint32_t level, const CacheLevelConfig& config, std::uint32_t cpus);
  Path path_from(CacheEntry entry) const;
  CacheArray& array(std::uint32_t level, std::uint32_t cpu) {
    return arrays_[level][arrays_[level].size() == 1 ? 0 : cpu];
  }
  const Path& path(CacheEntry entry) const { return paths_[static_cast<std::size_t>(entry)]; }
  void insert(std::uint32_t level, std::uint32_t cpu, std::uint64_t line, bool dirty);
  void evict(std::uint32_t level, std::uint32_t cpu, CacheArray::Victim victim);
  bool drop_above(std::uint32_t level, std::uint32_t cpu, std::uint64_t line);
  void write_below(std::uint32_t level, std::uint32_t cpu, std::uint64_t line);
  LineFetch*& bucket(std::uint64_t line) { return in_flight_[line % kBuckets]; }
  LineFetch* find_in_flight(std::uint64_t line, std::uint32_t cpu);
  void arrived(LineFetch& fetch);
  void finish(LineFetch& first);
  void fill(const LineFetch& fetch);

  EventQueue& queue_;
  Dram& dram_;
  Clock core_clock_;
  std::array<std::vector<CacheArray>, kLevels> arrays_;  // by level, then by CPU; a shared level has one
  std::array<CacheLevelStats, kLevels> stats_{};
  std::array<std::uint32_t, kLevels> latency_{};
  std::array<bool, kLevels> is_inclusive_{};
  std::array<Path, 3> paths_{};                   // by CacheEntry
  std::array<LineFetch*, kBuckets> in_flight_{};  // first fetch of each line, newest first in a bucket
  std::uint32_t cpus_;
  bool shares_last_level_;  // so that fetches of different CPUs meet
};

}  // namespace collapsar
