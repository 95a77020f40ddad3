// PageTable: the radix tree of one address space, living in simulated frames.
//
// Models:      4 or 5 levels of 512 entries; each table occupies a frame, so each entry has a physical address the
// walker reads;
//              leaves of 4 KiB, 2 MiB (PMD) and 1 GiB (PUD); x86 bits; swap entries; tables deposited under a huge PMD.
// Simplified:  no kernel half, no protection keys, no migration entries.
// Time:        none of its own.
// Owns:        its tables (frames come from PhysicalMemory, use = page_table). Not the pages it maps.
// Source:      Intel SDM Vol. 3A chapter 4 (entry format, levels); khugepaged.md 5.7 (deposit), 7.4 (PMD split).
//
// Levels are numbered from the leaf: 1 = PTE table, 2 = PMD, 3 = PUD, 4 = P4D/PGD, 5 = PGD.
//
// Invariants:
//  1. A PMD entry is none, a page table, or a huge leaf. Under a huge leaf stands exactly one deposited, empty PTE
//  table if it came
//     from map_huge_with_deposit() or commit_huge() (anonymous memory), none if it is the huge zero page or hugetlb.
//  2. A table frame is freed only when its parent entry is gone.
//  3. child[i] of a table is set iff entries[i] is a page table or a huge leaf with a deposit.
//  4. Addresses are of the user half: below 2^47 (4 levels) or 2^56 (5 levels).
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "models/mem/physical_memory.h"
#include "sim/core/error.h"
#include "sim/core/host_pool.h"
#include "sim/core/units.h"

namespace collapsar {

// One entry, in the x86 layout; software bits (9..11, 52..58) as named here.
struct Pte {
  std::uint64_t bits = 0;
  enum : std::uint64_t {
    kPresent = 1ULL << 0,
    kWritable = 1ULL << 1,
    kUser = 1ULL << 2,
    kAccessed = 1ULL << 5,
    kDirty = 1ULL << 6,
    kHuge = 1ULL << 7,     // PS, in level 2 and 3
    kSpecial = 1ULL << 9,  // maps the zero page or huge zero page: no frame to release
    kUffdWp = 1ULL << 10,
    kSoftExclusive = 1ULL << 11,  // anonymous page known to be mapped only here
    kNoExec = 1ULL << 63,
    kSwapMarker = 1ULL << 58,  // with !present: bits 12.. hold a swap slot
    kProtNone = 1ULL << 8,     // present for the kernel, not for the hardware (PROT_NONE)
    kFrameMask = 0x000f'ffff'ffff'f000ULL,
  };
  constexpr bool none() const { return bits == 0; }
  constexpr bool present() const { return bits & (kPresent | kProtNone); }  // as pte_present()
  constexpr bool hw_present() const { return bits & kPresent; }             // as the walker sees it
  constexpr bool writable() const { return bits & kWritable; }
  constexpr bool accessed() const { return bits & kAccessed; }
  constexpr bool dirty() const { return bits & kDirty; }
  constexpr bool huge() const { return bits & kHuge; }
  constexpr bool zero_page() const { return bits & kSpecial; }
  constexpr bool swap() const { return !present() && (bits & kSwapMarker); }
  constexpr bool executable() const { return !(bits & kNoExec); }
  constexpr Pfn pfn() const { return {(bits & kFrameMask) >> kPageShift}; }
  constexpr std::uint32_t swap_slot() const { return std::uint32_t((bits & kFrameMask) >> kPageShift); }
  constexpr void set(std::uint64_t mask) { bits |= mask; }
  constexpr void clear(std::uint64_t mask) { bits &= ~mask; }
  static constexpr Pte make(Pfn pfn, std::uint64_t flags) { return {(pfn.value << kPageShift) | flags}; }
  // The same entry of another frame.
  constexpr Pte with_frame(Pfn pfn) const { return {(bits & ~kFrameMask) | (pfn.value << kPageShift)}; }
  static constexpr Pte make_swap(std::uint32_t slot, std::uint64_t flags = 0) {
    return {(std::uint64_t(slot) << kPageShift) | kSwapMarker | flags};
  }
  constexpr bool operator==(const Pte&) const = default;
};

class PageTable {
 public:
  struct Table {  // one table in simulated memory; at level 1 nothing else, above an Upper
    std::array<Pte, 512> entries{};
    Pfn frame;
  };
  struct Upper : Table {  // a table of level 2 and up, with the host's way to the tables below
    std::array<Table*, 512> child{};
  };
  struct Cursor {  // where a hardware walk stands
    Table* table = nullptr;
    unsigned level = 0;
  };

  // `levels`: 4 or 5. Throws SimulationError if there is no frame for the root.
  PageTable(PhysicalMemory& memory, unsigned levels);
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;
  ~PageTable();  // gives all table frames back, detached ones included

  unsigned levels() const { return levels_; }
  std::uint64_t table_pages() const { return table_pages_; }  // frames in use as tables, deposited ones included
  static constexpr unsigned index(VirtAddr va, unsigned level) {
    return unsigned(va.value >> (kPageShift + 9 * (level - 1))) & 511;
  }

  // --- the walker's view ---
  Cursor root() const { return {root_, levels_}; }
  PhysAddr entry_address(Cursor at, VirtAddr va) const {
    return address_of(at.table->frame) + index(va, at.level) * sizeof(Pte);
  }
  Pte& entry(Cursor at, VirtAddr va) const { return at.table->entries[index(va, at.level)]; }
  // The table below a present, non-leaf entry.
  Cursor descend(Cursor at, VirtAddr va) const { return {upper(at.table).child[index(va, at.level)], at.level - 1}; }
  // Where a walk goes on after a hit on a paging-structure cache entry that holds an entry of `level` (2 = PDE, 3 =
  // PDPTE, 4 = PML4E): the table of level - 1. Its `table` is nullptr if that entry is none or a leaf.
  Cursor cursor_at(VirtAddr va, unsigned level) const;
  struct Leaf {
    Pte* entry = nullptr;  // nullptr: no table down there
    PageSize size = PageSize::k4K;
  };
  // The entry that maps `va` or, if nothing does, the lowest entry that exists from the PUD down.
  Leaf lookup(VirtAddr va) const {
    const Upper* pud = table_of<3>(va);
    if (!pud) return {};
    Table* pmd_table = pud->child[index(va, 3)];
    if (!pmd_table) return {const_cast<Pte*>(&pud->entries[index(va, 3)]), PageSize::k1G};
    Upper& pmd = upper(pmd_table);
    const unsigned i = index(va, 2);
    if (!pmd.child[i] || pmd.entries[i].huge()) return {&pmd.entries[i], PageSize::k2M};
    return {&pmd.child[i]->entries[index(va, 1)], PageSize::k4K};
  }

  // --- the kernel's view ---
  Pte* pmd(VirtAddr va) const {  // nullptr: upper level absent
    Upper* table = table_of<2>(va);
    return table ? &table->entries[index(va, 2)] : nullptr;
  }
  Pte* pud(VirtAddr va) const {
    Upper* table = table_of<3>(va);
    return table ? &table->entries[index(va, 3)] : nullptr;
  }
  Pte* pte(VirtAddr va) const {  // nullptr: no PTE table (PMD none or huge)
    Table* table = live_pte_table(va);
    return table ? &table->entries[index(va, 1)] : nullptr;
  }
  // Lets the host bring in the PTE. Changes nothing.
  void prefetch(VirtAddr va) const { __builtin_prefetch(pte(va)); }
  bool pmd_is_table(VirtAddr va) const { return live_pte_table(va) != nullptr; }
  bool pmd_is_huge(VirtAddr va) const {
    const Pte* e = pmd(va);
    return e && e->huge();
  }
  // The 512 PTEs of the range holding `va`. Requires: pmd_is_table(va).
  std::array<Pte, 512>& pte_table(VirtAddr va) const;
  // Make the tables above the given leaf. False: out of frames (what was made stays). Requires: no huge leaf in the
  // way.
  bool ensure_pte_table(VirtAddr va);
  bool ensure_pmd_table(VirtAddr va);
  bool ensure_pud_table(VirtAddr va);
  // Sets a huge PMD over a none entry and deposits a fresh PTE table under it. False: out of frames.
  bool map_huge_with_deposit(VirtAddr va, Pte leaf);
  // Sets a huge PMD or PUD without deposit (huge zero page, hugetlb). Requires: entry none and its table present.
  void map_huge(VirtAddr va, Pte leaf, PageSize size);
  // Clears a huge PMD and frees its deposited table, if any. Returns what the entry was. (A huge PUD has no deposit:
  // clear it through its entry.)
  Pte unmap_huge(VirtAddr va);

  // --- collapse: khugepaged.md 5.1 steps 7 and 11, 5.6 ---
  // Takes the PTE table out: the PMD becomes none, the table stays with the caller.
  Table* detach_pte_table(VirtAddr va);
  static std::array<Pte, 512>& entries(Table* table) { return table->entries; }
  PhysAddr table_address(const Table* table) const { return address_of(table->frame); }
  // Puts the same table back (rollback).
  void attach_pte_table(VirtAddr va, Table* table);
  // Installs the huge leaf and deposits `table` (its entries are cleared).
  void commit_huge(VirtAddr va, Pte leaf, Table* table);
  // The PTE table of `va` as an identity ("is it still the same table?"), nullptr if none.
  const Table* pte_table_id(VirtAddr va) const { return live_pte_table(va); }

  // A huge PMD becomes 512 PTEs of the same 4 KiB pages (or of the zero page `zero`); accessed, dirty, write bits are
  // carried. Uses the deposited table, or a fresh one; false: none to be had. Mapcounts are the caller's.
  bool split_pmd(VirtAddr va, Pfn zero);

  // Calls f(VirtAddr, Pte&, PageSize) for every leaf or swap entry that is not none, in address order; a huge leaf that
  // only overlaps `range` comes with its own base address. f may change or clear the entry, not the tables; but for the
  // huge leaf it is given it may call unmap_huge() or split_pmd() (the 512 new entries are then not visited).
  template <class F>
  void visit(VirtRange range, F&& f) const;
  // Moves the entry (4 KiB leaf or whole PMD with its table or deposit) from one address to another; nothing happens if
  // there is none. Requires: target none. False: out of frames.
  bool move_pte(VirtAddr from, VirtAddr to);
  bool move_pmd(VirtAddr from, VirtAddr to);
  // Frees each table that serves some address of `range` and whose whole span lies within [floor, ceiling), as
  // free_pgd_range does: `floor` is the end of the mapping before, `ceiling` the start of the one after (0: there is
  // none). Requires: all entries between floor and ceiling are none.
  void free_tables(VirtRange range, VirtAddr floor, VirtAddr ceiling);
  std::uint64_t host_bytes() const;

 private:
  static Upper& upper(Table* table) { return *static_cast<Upper*>(table); }
  // The table of `level` (2 or more) on the way to `va`, nullptr if absent.
  template <unsigned level>
  Upper* table_of(VirtAddr va) const;
  // The PTE table of `va` unless it is absent or only deposited.
  Table* live_pte_table(VirtAddr va) const;
  void check_address(VirtAddr va) const {
    SIM_ASSERT(va.value >> (kPageShift - 1 + 9 * levels_) == 0, "{:#x} is no user address with {} levels", va.value,
               levels_);
  }

  Table* make_table(unsigned level);
  void destroy_table(Table* table, unsigned level);
  void destroy_tree(Table* table, unsigned level);
  Table* ensure_table(VirtAddr va, unsigned level);
  static void link(Upper& parent, unsigned i, Table* child);
  static Table* unlink(Upper& parent, unsigned i);
  // The PMD table of `va` with its index. Requires: it is present.
  std::pair<Upper*, unsigned> pmd_slot(VirtAddr va) const;
  void free_tables_below(Upper& table, unsigned level, VirtAddr base, VirtRange range, VirtRange limits);
  void visit_table(Table* table, unsigned level, VirtAddr base, VirtRange range, void* context,
                   void (*f)(void*, VirtAddr, Pte&, PageSize)) const;

  PhysicalMemory& memory_;
  unsigned levels_;
  HostPool<Table> tables_;
  HostPool<Upper> upper_tables_;
  Table* root_;
  std::uint64_t table_pages_ = 0, upper_pages_ = 0;
  std::vector<Table*> detached_;  // out at a collapse; freed with the rest if the run ends there
};

template <unsigned level>
PageTable::Upper* PageTable::table_of(VirtAddr va) const {
  check_address(va);
  Table* table = root_;
  for (unsigned at = levels_; at > 4; --at)
    if (!(table = upper(table).child[index(va, at)])) return nullptr;
  if constexpr (level <= 3)
    if (!(table = upper(table).child[index(va, 4)])) return nullptr;
  if constexpr (level <= 2)
    if (!(table = upper(table).child[index(va, 3)])) return nullptr;
  return &upper(table);
}

inline PageTable::Table* PageTable::live_pte_table(VirtAddr va) const {
  const Upper* table = table_of<2>(va);
  if (!table || table->entries[index(va, 2)].huge()) return nullptr;
  return table->child[index(va, 2)];
}

template <class F>
void PageTable::visit(VirtRange range, F&& f) const {
  if (range.empty()) return;
  visit_table(root_, levels_, VirtAddr{0}, range, &f, [](void* fn, VirtAddr va, Pte& e, PageSize s) {
    (*static_cast<std::remove_reference_t<F>*>(fn))(va, e, s);
  });
}

}  // namespace collapsar
