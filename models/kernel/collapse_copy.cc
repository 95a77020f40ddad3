// Copying 512 pages into one and giving the old ones back: khugepaged.md 5.5. 6.1 does both page by page, and nothing can
// go wrong; later kernels copy all first, so that they can still return when memory turns out to be poisoned.
#include <algorithm>
#include <utility>

#include "models/kernel/collapse_context.h"
#include "models/kernel/huge_copy.h"

namespace collapsar {
namespace {

// Neither none nor the zero page (nor swapped out): there is a page to copy.
bool maps_page(Pte pte) { return pte.present() && !pte.zero_page(); }

}  // namespace

std::uint32_t Collapse::Context::pages_in(std::uint32_t first, std::uint32_t end) const {
  return std::uint32_t(std::count_if(ptes().begin() + first, ptes().begin() + end, maps_page));
}

std::uint32_t Collapse::Context::present_pages() const { return pages_in(0, kHugePages); }

// Where copying cannot fail, only large folios wait for the end; small pages go one by one.
void Collapse::Context::begin_copy() {
  if (!kernel.rules.copy_can_fail)
    std::erase_if(isolated, [&](Pfn folio) { return !kernel.memory.frame(folio).is(Frame::kHead); });
  next_entry = 0;
  copy_next_slice();
}

// A slice lasts the longer of its cost-table time, taken from the CPU, and its DRAM service.
void Collapse::Context::copy_next_slice() {
  if (next_entry == kHugePages) return copy_done();
  slice_first = next_entry;
  next_entry += slice_length(slice_first);
  slice_parts_left = 1;
  spend(slice_cost(slice_first, next_entry), &KhugepagedStats::cpu_copy, slice_cpu_);
  if (kernel.dram.is_ideal()) {
    kernel.dram.count_ideal_pages(pages_in(slice_first, next_entry), /*is_write=*/false);
    kernel.dram.count_ideal_pages(next_entry - slice_first, /*is_write=*/true);
    return;
  }
  ++slice_parts_left;
  slice_sources.clear();
  for (std::uint32_t i = slice_first; i < next_entry; ++i)
    slice_sources.push_back(maps_page(ptes()[i]) ? ptes()[i].pfn() : kNoPfn);
  bulk.start(slice_sources, head + slice_first, Duration::zero(), slice_dram_);
}

// Up to a poisoned page, that included.
std::uint32_t Collapse::Context::slice_length(std::uint32_t first) const {
  const std::uint32_t longest = std::min(HugeCopy::kSlice, std::uint32_t(kHugePages) - first);
  std::uint32_t length = 1;
  while (length < longest && !is_poisoned(first + length - 1)) ++length;
  return length;
}

bool Collapse::Context::is_poisoned(std::uint32_t entry) const {
  const Pte pte = ptes()[entry];
  return kernel.rules.copy_can_fail && maps_page(pte) && kernel.memory.frame(pte.pfn()).is(Frame::kPoisoned);
}

Duration Collapse::Context::slice_cost(std::uint32_t first, std::uint32_t end) const {
  const KernelCosts& costs = kernel.config.costs;
  const auto copies = std::int64_t(pages_in(first, end));
  const Duration release = kernel.rules.copy_can_fail ? Duration::zero() : costs.release_page * copies;
  return costs.copy_page * copies + costs.clear_page * (std::int64_t(end - first) - copies) + release;
}

void Collapse::Context::slice_part_done() {
  if (--slice_parts_left > 0) return;
  if (is_poisoned(next_entry - 1)) {
    why_rollback = ScanResult::COPY_MC;
    return begin_rollback();
  }
  copy_contents();
  if (!kernel.rules.copy_can_fail) release_small_pages();
  copy_next_slice();
}

void Collapse::Context::copy_contents() {
  for (std::uint32_t i = slice_first; i < next_entry; ++i)
    if (maps_page(ptes()[i]) && kernel.memory.frame(ptes()[i].pfn()).is(Frame::kData))
      kernel.memory.frame(head + i).set(Frame::kData);
}

// The old pages go; those that another process maps stay with it.
void Collapse::Context::release_small_pages() {
  for (std::uint32_t i = slice_first; i < next_entry; ++i) {
    const Pte old = std::exchange(ptes()[i], {});
    const bool is_small = maps_page(old) && !is_part_of_folio(old.pfn());
    replace(old);
    if (is_small) put_back(old.pfn());
  }
}

// RSS does not change but for what was empty: the place in the new page counts from here on.
void Collapse::Context::replace(Pte old) {
  collapse.rmap_.drop_mapping(mm(), old);
  mm().add_anon(1);
}

bool Collapse::Context::is_part_of_folio(Pfn page) const {
  const Frame& frame = kernel.memory.frame(page);
  return frame.is(Frame::kHead) || frame.is(Frame::kTail);
}

void Collapse::Context::copy_done() {
  const auto pages = kernel.rules.copy_can_fail ? std::int64_t(present_pages()) : 0;
  spend(kernel.config.costs.release_page * pages, &KhugepagedStats::cpu_copy, release_);
}

void Collapse::Context::release_done() {
  if (kernel.rules.copy_can_fail)
    for (Pte& pte : ptes()) replace(std::exchange(pte, {}));
  put_back();
  begin_commit();
}

}  // namespace collapsar
