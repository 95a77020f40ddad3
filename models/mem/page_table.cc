#include "models/mem/page_table.h"

#include <algorithm>

namespace collapsar {

namespace {

// What Linux puts into an entry that points to a table (_PAGE_TABLE): accessed from the start, so walks never set it
// there.
constexpr std::uint64_t kTableFlags = Pte::kPresent | Pte::kWritable | Pte::kUser | Pte::kAccessed | Pte::kDirty;

// Bytes that one entry of a table of `level` serves.
constexpr std::uint64_t entry_span(unsigned level) { return 1ULL << (kPageShift + 9 * (level - 1)); }

constexpr PageSize leaf_size(unsigned level) { return static_cast<PageSize>(level - 1); }

bool all_none(const std::array<Pte, 512>& entries) {
  return std::all_of(entries.begin(), entries.end(), [](Pte e) { return e.none(); });
}

}  // namespace

PageTable::PageTable(PhysicalMemory& memory, unsigned levels) : memory_(memory), levels_(levels) {
  SIM_ASSERT(levels == 4 || levels == 5, "page tables of {} levels", levels);
  root_ = make_table(levels);
  if (!root_)
    throw SimulationError(
        fmt::format("out of simulated memory: no frame for the page-table root of a new process ({} of {} "
                    "pages free); a larger memory.size would help",
                    memory.free_pages(), memory.total_pages()));
}

PageTable::~PageTable() {
  for (Table* table : detached_) destroy_table(table, 1);
  destroy_tree(root_, levels_);
}

// --- tables ---

PageTable::Table* PageTable::make_table(unsigned level) {
  const auto frame = memory_.allocate(0, MigrateType::unmovable, FrameUse::page_table, AllocLevel::min);
  if (!frame) return nullptr;
  Table* table = level > 1 ? upper_tables_.make() : tables_.make();
  table->frame = *frame;
  ++table_pages_;
  upper_pages_ += level > 1;
  return table;
}

void PageTable::destroy_table(Table* table, unsigned level) {
  memory_.free(table->frame, 0);
  --table_pages_;
  upper_pages_ -= level > 1;
  if (level > 1) upper_tables_.destroy(&upper(table));
  else tables_.destroy(table);
}

void PageTable::destroy_tree(Table* table, unsigned level) {
  if (level > 1)
    for (Table* child : upper(table).child)
      if (child) destroy_tree(child, level - 1);
  destroy_table(table, level);
}

void PageTable::link(Upper& parent, unsigned i, Table* child) {
  SIM_ASSERT(parent.entries[i].none() && !parent.child[i], "table installed over entry {:#x}", parent.entries[i].bits);
  parent.entries[i] = Pte::make(child->frame, kTableFlags);
  parent.child[i] = child;
}

PageTable::Table* PageTable::unlink(Upper& parent, unsigned i) {
  parent.entries[i] = {};
  return std::exchange(parent.child[i], nullptr);
}

PageTable::Table* PageTable::ensure_table(VirtAddr va, unsigned level) {
  check_address(va);
  Table* table = root_;
  for (unsigned at = levels_; at > level; --at) {
    Upper& parent = upper(table);
    const unsigned i = index(va, at);
    SIM_ASSERT(!parent.entries[i].huge(), "a page table for {:#x} would cover a huge leaf", va.value);
    if (!parent.child[i]) {
      Table* fresh = make_table(at - 1);
      if (!fresh) return nullptr;
      link(parent, i, fresh);
    }
    table = parent.child[i];
  }
  return table;
}

bool PageTable::ensure_pte_table(VirtAddr va) { return ensure_table(va, 1) != nullptr; }
bool PageTable::ensure_pmd_table(VirtAddr va) { return ensure_table(va, 2) != nullptr; }
bool PageTable::ensure_pud_table(VirtAddr va) { return ensure_table(va, 3) != nullptr; }

std::array<Pte, 512>& PageTable::pte_table(VirtAddr va) const {
  Table* table = live_pte_table(va);
  SIM_ASSERT(table, "no page table at {:#x}", va.value);
  return table->entries;
}

PageTable::Cursor PageTable::cursor_at(VirtAddr va, unsigned level) const {
  Cursor at = root();
  while (at.level >= level && at.table) {
    if (entry(at, va).huge()) return {nullptr, level - 1};  // a table below would be a deposit
    at = descend(at, va);
  }
  return {at.table, level - 1};
}

std::pair<PageTable::Upper*, unsigned> PageTable::pmd_slot(VirtAddr va) const {
  Upper* table = table_of<2>(va);
  SIM_ASSERT(table, "no PMD table at {:#x}", va.value);
  return {table, index(va, 2)};
}

// --- huge leaves ---

bool PageTable::map_huge_with_deposit(VirtAddr va, Pte leaf) {
  if (!ensure_pmd_table(va)) return false;
  const auto [table, i] = pmd_slot(va);
  SIM_ASSERT(table->entries[i].none() && !table->child[i], "huge page mapped over {:#x} at {:#x}",
             table->entries[i].bits, va.value);
  Table* deposit = make_table(1);
  if (!deposit) return false;
  leaf.set(Pte::kHuge);
  table->entries[i] = leaf;
  table->child[i] = deposit;
  return true;
}

void PageTable::map_huge(VirtAddr va, Pte leaf, PageSize size) {
  SIM_ASSERT(size != PageSize::k4K, "a 4 KiB page is no huge leaf");
  Pte* entry = size == PageSize::k2M ? pmd(va) : pud(va);
  SIM_ASSERT(entry && entry->none(), "huge page mapped over {:#x} at {:#x}", entry ? entry->bits : 0, va.value);
  leaf.set(Pte::kHuge);
  *entry = leaf;
}

Pte PageTable::unmap_huge(VirtAddr va) {
  const auto [table, i] = pmd_slot(va);
  const Pte was = table->entries[i];
  SIM_ASSERT(was.huge(), "entry {:#x} at {:#x} is no huge page", was.bits, va.value);
  if (Table* deposit = unlink(*table, i)) destroy_table(deposit, 1);
  return was;
}

bool PageTable::split_pmd(VirtAddr va, Pfn zero) {
  constexpr std::uint64_t kOfZeroPage =
      Pte::kPresent | Pte::kProtNone | Pte::kUser | Pte::kAccessed | Pte::kUffdWp | Pte::kNoExec | Pte::kSpecial;
  const auto [table, i] = pmd_slot(va);
  const Pte huge = table->entries[i];
  SIM_ASSERT(huge.huge(), "entry {:#x} at {:#x} is no huge page", huge.bits, va.value);
  Table* ptes = table->child[i] ? table->child[i] : make_table(1);
  if (!ptes) return false;
  const std::uint64_t flags = huge.bits & ~(Pte::kFrameMask | Pte::kHuge) & (huge.zero_page() ? kOfZeroPage : ~0ULL);
  for (unsigned n = 0; n < kHugePages; ++n)
    ptes->entries[n] = Pte::make(huge.zero_page() ? zero : huge.pfn() + n, flags);
  unlink(*table, i);
  link(*table, i, ptes);
  return true;
}

// --- collapse ---

PageTable::Table* PageTable::detach_pte_table(VirtAddr va) {
  const auto [table, i] = pmd_slot(va);
  SIM_ASSERT(table->child[i] && !table->entries[i].huge(), "no page table to detach at {:#x}", va.value);
  detached_.push_back(table->child[i]);
  return unlink(*table, i);
}

void PageTable::attach_pte_table(VirtAddr va, Table* ptes) {
  const auto [table, i] = pmd_slot(va);
  SIM_ASSERT(std::erase(detached_, ptes) == 1, "table {:#x} put back at {:#x} was not detached", ptes->frame.value,
             va.value);
  link(*table, i, ptes);
}

void PageTable::commit_huge(VirtAddr va, Pte leaf, Table* ptes) {
  attach_pte_table(va, ptes);
  ptes->entries.fill({});
  leaf.set(Pte::kHuge);
  *pmd(va) = leaf;
}

// --- moving, freeing, visiting ---

bool PageTable::move_pte(VirtAddr from, VirtAddr to) {
  Pte* source = pte(from);
  if (!source || source->none()) return true;
  if (!ensure_pte_table(to)) return false;
  Pte* target = pte(to);
  SIM_ASSERT(target->none(), "entry {:#x} moved over {:#x} at {:#x}", source->bits, target->bits, to.value);
  *target = std::exchange(*source, {});
  return true;
}

bool PageTable::move_pmd(VirtAddr from, VirtAddr to) {
  const Pte* source = pmd(from);
  if (!source || source->none()) return true;
  if (!ensure_pmd_table(to)) return false;
  const auto [source_table, i] = pmd_slot(from);
  const auto [target_table, n] = pmd_slot(to);
  SIM_ASSERT(target_table->entries[n].none() && !target_table->child[n], "PMD {:#x} moved over {:#x} at {:#x}",
             source->bits, target_table->entries[n].bits, to.value);
  target_table->entries[n] = std::exchange(source_table->entries[i], {});
  target_table->child[n] = std::exchange(source_table->child[i], nullptr);
  return true;
}

void PageTable::free_tables(VirtRange range, VirtAddr floor, VirtAddr ceiling) {
  if (range.empty()) return;
  check_address(range.end - 1);
  const VirtAddr limit = ceiling.value == 0 ? VirtAddr{~0ULL} : ceiling;
  free_tables_below(upper(root_), levels_, VirtAddr{0}, range, {floor, limit});
}

// `table`, of `level`, starts at `base`; its children that overlap `range` go if they lie within `limits` and are empty
// by then.
void PageTable::free_tables_below(Upper& table, unsigned level, VirtAddr base, VirtRange range, VirtRange limits) {
  const std::uint64_t span = entry_span(level);
  const unsigned last = index(std::min(range.end, base + 512 * span) - 1, level);
  for (unsigned i = index(std::max(range.start, base), level); i <= last; ++i) {
    Table* child = table.child[i];
    if (!child) continue;
    SIM_ASSERT(!table.entries[i].huge(), "page tables freed under the huge page at {:#x}", (base + i * span).value);
    const VirtAddr start = base + i * span;
    if (level > 2) free_tables_below(upper(child), level - 1, start, range, limits);
    if (start < limits.start || start + span > limits.end) continue;
    SIM_ASSERT(level > 2 || all_none(child->entries), "the page table at {:#x} is freed while it maps pages",
               start.value);
    if (all_none(child->entries)) destroy_table(unlink(table, i), level - 1);
  }
}

void PageTable::visit_table(Table* table, unsigned level, VirtAddr base, VirtRange range, void* context,
                            void (*f)(void*, VirtAddr, Pte&, PageSize)) const {
  const std::uint64_t span = entry_span(level);
  const unsigned last = index(std::min(range.end, base + 512 * span) - 1, level);
  for (unsigned i = index(std::max(range.start, base), level); i <= last; ++i) {
    Pte& entry = table->entries[i];
    if (entry.none()) continue;
    if (level > 1 && !entry.huge() && upper(table).child[i])
      visit_table(upper(table).child[i], level - 1, base + i * span, range, context, f);
    else f(context, base + i * span, entry, leaf_size(level));
  }
}

std::uint64_t PageTable::host_bytes() const {
  return sizeof(*this) + (table_pages_ - upper_pages_) * sizeof(Table) + upper_pages_ * sizeof(Upper);
}

}  // namespace collapsar
