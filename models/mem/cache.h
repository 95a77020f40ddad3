// CacheHierarchy: the cache levels of all CPUs in front of Dram, shared by data and page-table lines.
//
// Models:      private L1I (optional), L1D and L2 per CPU, one L3 (shared or per CPU); set-associative, write-back,
//              write-allocate, four replacement policies (CacheArray), inclusive or not; misses to the same line merge;
//              lines are filled when their data arrives.
// Policy:      what an upper level evicts goes one level down if it is dirty and is dropped if not; a fill from memory
//              fills every level. Only an `inclusive` level takes its victims out above.
// Simplified:  no coherence traffic between private caches, and none with bulk copies; no port or bank conflicts; no
//              prefetchers; real non-inclusive L3s (Skylake-SP) are filled by victims instead.
// Time:        a hit is a plain duration (total core cycles from L1); a miss is answered by an event.
// Owns:        tags and the table of misses in flight. LineFetch objects belong to the requester.
// Source:      latencies and sizes in configs/machines; structure: Intel 64 and IA-32 Architectures Optimization
//              Reference Manual, "Cache Hierarchy".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "models/mem/cache_array.h"
#include "models/mem/dram.h"
#include "sim/core/config.h"
#include "sim/core/stats.h"

namespace collapsar {

struct CacheLevelConfig {
  Bytes size{32 * kKiB};
  std::uint32_t ways = 8;
  std::uint32_t latency = 4;  // core cycles from the load to its use, when found here (total, not per level)
  bool shared = false;        // one for all CPUs (L3)
  bool inclusive = false;     // evicting a line here evicts it above
  CacheReplacement replacement = CacheReplacement::lru;
  double cold_share = ColdLines{}.share;  // adaptive: see there
  template <class V>
  void describe(V& v) {
    v("size", size, "bytes");
    v("ways", ways, "lines per set; sets need not be a power of two");
    v("latency", latency, "core cycles, total, when a load finds its line here");
    v("shared", shared, "one cache for all CPUs");
    v("inclusive", inclusive, "holds every line of the levels above");
    v("replacement", replacement, "lru | plru | qlru | adaptive");
    v("cold_share", cold_share,
      "adaptive: of new lines, those that come in as the first to leave, where that misses less; 0 to 1");
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
  Event filled_ = event<&LineFetch::filled>(this, "cache.fill", Phase::completion);
};

class CacheHierarchy {
 public:
  static constexpr std::uint32_t kMemory = 0;  // "found in no level"
  struct Lookup {
    std::uint32_t level;    // 1, 2, 3, or kMemory
    std::uint32_t latency;  // core cycles until the data is there, or until the miss reaches the memory controller
  };

  // `seed`: of the streams of adaptive caches. Requires: config.validate() passes.
  CacheHierarchy(EventQueue& queue, Dram& dram, const CachesConfig& config, std::uint32_t cpus, Clock core_clock,
                 std::uint64_t seed = 0);
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
  Lookup access(std::uint32_t cpu, PhysAddr address, bool write, CacheEntry entry) {
    return access(path(cpu, entry), 0, cpu, address.value >> kLineShift, write);
  }
  // The same, right after hit_l1d() has said no.
  Lookup access_beyond_l1d(std::uint32_t cpu, PhysAddr address, bool write) {
    ++stats_[kL1d].misses;
    return access(path(cpu, CacheEntry::l1d), 1, cpu, address.value >> kLineShift, write);
  }
  // After access() returned kMemory: the miss reaches the controller `latency` cycles from now (or from `begins`, if that is
  // later), goes to Dram (or joins a fetch of the same line), fills the levels from `entry` on when the data is there, and
  // then schedules `done`.
  void fetch(LineFetch& fetch, std::uint32_t cpu, PhysAddr address, bool write, CacheEntry entry, Event& done,
             Time begins = kTimeZero);
  // The tags of a big cache are far away for the host, too: lets it bring in those that access() beyond the first level will
  // read. Changes no result.
  void prefetch(std::uint32_t cpu, PhysAddr address) {
    const Path& on = path(cpu, CacheEntry::l1d);
    for (std::uint32_t i = 1; i < on.count; ++i) on.steps[i].array->prefetch(address.value >> kLineShift);
  }
  CacheLevelStats& stats(std::uint32_t level) { return stats_[level]; }  // 0 = l1i, 1 = l1d, 2, 3; summed over CPUs
  bool has_level(std::uint32_t level) const { return !arrays_[level].empty(); }

 private:
  friend class LineFetch;
  static constexpr unsigned kLineShift = 6;
  static constexpr std::uint32_t kL1i = 0, kL1d = 1, kL2 = 2, kL3 = 3, kLevels = 4;
  static constexpr std::uint32_t kBuckets = 64;
  struct Step {
    CacheArray* array = nullptr;
    CacheLevelStats* stats = nullptr;
    std::uint32_t level = 0, latency = 0;
  };
  struct Path {  // the levels that a look-up of one CPU passes
    std::array<Step, 3> steps{};
    std::uint32_t count = 0;
    std::uint32_t to_memory = 0;  // core cycles: latency of the last level
  };

  void build_level(std::uint32_t level, const CacheLevelConfig& config, std::uint32_t instances, std::uint64_t seed);
  Path path_from(CacheEntry entry, std::uint32_t cpu);
  Lookup access(const Path& on, std::uint32_t from, std::uint32_t cpu, std::uint64_t line, bool write);
  CacheArray& array(std::uint32_t level, std::uint32_t cpu) { return first_array_[level][cpu & own_array_[level]]; }
  const Path& path(std::uint32_t cpu, CacheEntry entry) const { return paths_[cpu][static_cast<std::size_t>(entry)]; }
  void evict(std::uint32_t level, std::uint32_t cpu, CacheArray::Victim victim);
  bool drop_above(std::uint32_t level, std::uint32_t cpu, std::uint64_t line);
  void write_below(std::uint32_t level, std::uint32_t cpu, std::uint64_t line);
  // Strided lines differ in higher bits alone.
  LineFetch*& bucket(std::uint64_t line) {
    return in_flight_[(line ^ line / kBuckets ^ line / (kBuckets * kBuckets)) % kBuckets];
  }
  LineFetch* find_in_flight(std::uint64_t line, std::uint32_t cpu);
  void finish(LineFetch& first);
  Time answer_time(const LineFetch& fetch, const LineFetch& first) const;
  bool can_answer_here(const LineFetch& first) const;
  bool fill(const LineFetch& fetch);
  void mark_filled(const LineFetch& fetch);

  EventQueue& queue_;
  Dram& dram_;
  Clock core_clock_;
  std::array<std::vector<CacheArray>, kLevels> arrays_;  // by level, then by CPU; a shared level has one
  std::array<CacheArray*, kLevels> first_array_{};
  std::array<std::uint32_t, kLevels> own_array_{};  // all bits set: each CPU has one; none: a shared level
  std::array<CacheLevelStats, kLevels> stats_{};
  std::array<std::uint32_t, kLevels> latency_{};
  std::array<bool, kLevels> is_inclusive_{};
  std::vector<std::array<Path, 3>> paths_;        // by CPU, then by CacheEntry
  std::array<LineFetch*, kBuckets> in_flight_{};  // first fetch of each line, newest first in a bucket
  std::uint64_t lines_written_below_ = 0;
  std::uint32_t cpus_;
  bool shares_last_level_;  // so that fetches of different CPUs meet
};

}  // namespace collapsar
