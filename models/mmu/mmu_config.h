// MmuConfig: TLB geometry, walkers and paging-structure caches, as the design's `mmu:` section.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "models/mmu/assoc_cache.h"
#include "sim/core/config.h"
#include "sim/core/units.h"

namespace collapsar {

enum class TlbAccess : std::uint8_t { any, load, store };
template <>
struct EnumNames<TlbAccess> {
  static constexpr std::array<std::pair<std::string_view, TlbAccess>, 3> names{
      {{"any", TlbAccess::any}, {"load", TlbAccess::load}, {"store", TlbAccess::store}}};
};
enum class WalkEntry : std::uint8_t { l1d, l2 };
template <>
struct EnumNames<WalkEntry> {
  static constexpr std::array<std::pair<std::string_view, WalkEntry>, 2> names{
      {{"l1d", WalkEntry::l1d}, {"l2", WalkEntry::l2}}};
};

struct TlbArrayConfig {
  std::vector<PageSize> pages{PageSize::k4K};
  std::uint32_t sets = 16;
  std::map<PageSize, std::uint32_t> ways;
  Replacement replacement = Replacement::lru;
  TlbAccess access = TlbAccess::any;
  template <class V>
  void describe(V& v) {
    v("pages", pages, "page sizes whose entries it holds");
    v("sets", sets, "sets; 1 = fully associative");
    v("ways", ways, "ways per set; or a map where a page size may use only some of them");
    v("replacement", replacement, "lru | plru | random");
    v("access", access, "any | load | store: which references it serves");
  }
  // 0: not held.
  std::uint32_t ways_for(PageSize size) const;
  std::uint32_t total_ways() const;
  void validate() const;
  bool serves(bool is_store) const { return access == TlbAccess::any || (access == TlbAccess::store) == is_store; }
};

struct WalkCacheConfig {
  std::uint32_t pml5 = 2, pml4 = 4, pdpt = 4, pd = 32;
  template <class V>
  void describe(V& v) {
    v("pml5", pml5, "entries for the fifth level (5-level paging only); fully associative, LRU");
    v("pml4", pml4, "entries for the fourth level");
    v("pdpt", pdpt, "entries for the third level");
    v("pd", pd, "entries for the second level: a hit leaves one reference to the PTE");
  }
};

struct MmuConfig {
  std::uint32_t levels = 4;
  std::uint32_t walkers = 2;
  bool asids = true;
  bool ideal = false;
  std::vector<TlbArrayConfig> l1i, l1d, l2, l2i, l2d;
  std::uint32_t l2_latency = 9;
  std::optional<std::uint32_t> fixed_walk;
  WalkCacheConfig walk_cache;
  WalkEntry walk_entry = WalkEntry::l1d;

  MmuConfig();  // Skylake-SP, the design's example
  template <class V>
  void describe(V& v) {
    v("levels", levels, "levels of the page table: 4 or 5");
    v("walkers", walkers, "page walks that may run at once");
    v("asids", asids, "entries of several address spaces live side by side; false = a context switch flushes");
    v("ideal", ideal, "every look-up hits (faults still happen): a perfect TLB");
    v("l1i", l1i, "first-level instruction TLB, a list of arrays");
    v("l1d", l1d, "first-level data TLB, a list of arrays");
    v("l2", l2, "second-level TLB for both sides, a list of arrays; not used where l2i and l2d are given");
    v("l2i", l2i, "second-level instruction TLB, where it is split");
    v("l2d", l2d, "second-level data TLB, where it is split");
    v("l2_latency", l2_latency, "core cycles that an L2 hit adds");
    v("fixed_walk", fixed_walk,
      "core cycles of every page walk, as many at once as there are; none = walks read page-table entries from caches "
      "and DRAM");
    v("walk_cache", walk_cache, "paging-structure caches, entries per level");
    v("walk_entry", walk_entry, "cache level at which the walker's reads enter: l1d | l2");
  }
  bool split_l2() const { return !l2i.empty() || !l2d.empty(); }
  void validate() const;
};

}  // namespace collapsar
