// TlbKey: the page of an address, its size and its address space in one word, by which a TLB finds its entries.
//
// Models:      nothing; how the entries of a TLB are stored.
// Layout:      the address of the page; its size in the lowest two bits; the address-space identifier in what is left:
//              ten bits in the page's offset, six beyond the 56 bits of user space with five levels. Never 0.
#pragma once

#include "models/mem/page_table.h"
#include "models/mmu/kernel_port.h"

namespace collapsar {

struct TlbKey {
  static constexpr Asid kMostAsids = 1U << 16;
  static constexpr unsigned kSizeBits = 2, kAsidLowBits = 10, kAsidHighShift = 56;
  static constexpr std::uint64_t kSizeMask = (1U << kSizeBits) - 1, kAsidLowMask = (1U << kAsidLowBits) - 1;
  static_assert(page_shift(PageSize::k4K) == kSizeBits + kAsidLowBits);

  // An address space as it stands in keys.
  struct Space {
    Space() = default;
    explicit Space(Asid asid)  // Requires: asid < kMostAsids.
        : bits((asid & kAsidLowMask) << kSizeBits | std::uint64_t{asid >> kAsidLowBits} << kAsidHighShift) {}
    std::uint64_t bits = 0;
  };

  // A page size as it stands in keys: 1 to 3.
  static constexpr std::uint64_t code_of(PageSize size) { return unsigned(size) + 1; }
  static PageSize size_of(std::uint64_t code) { return PageSize(code - 1); }
  // What a key takes from (address | kSizeMask).
  static std::uint64_t mask_of(PageSize size) { return ~(page_bytes(size) - 1) | code_of(size); }
  static std::uint64_t of(VirtAddr va, std::uint64_t mask, Space space) {
    return ((va.value | kSizeMask) & mask) | space.bits;
  }
  static std::uint64_t of(VirtAddr va, PageSize size, Space space) { return of(va, mask_of(size), space); }

  static Asid asid_in(std::uint64_t key) {
    return Asid((key >> kSizeBits & kAsidLowMask) | key >> kAsidHighShift << kAsidLowBits);
  }
  static PageSize size_in(std::uint64_t key) { return size_of(key & kSizeMask); }
  static VirtAddr address_in(std::uint64_t key) {
    constexpr std::uint64_t kAddress = ((1ULL << kAsidHighShift) - 1) & ~(kPageBytes - 1);
    return {key & kAddress};
  }
};

}  // namespace collapsar
