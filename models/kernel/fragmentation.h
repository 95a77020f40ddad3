// Fragmentation: puts memory into the state of a machine that has been in use for long, before time 0.
//
// Models:      2 MiB blocks that hold one page of the kernel, some page cache of other programs, or both, at random places
//              within the block. A block with nothing but a page of the kernel is an unmovable pageblock, as grouping by
//              mobility leaves it; the others are movable ones. The page cache is on the inactive list and clean: it can be
//              moved, and it goes when memory gets short.
// Simplified:  hugetlb pages find only what is left whole, though a machine reserves them at boot; the kernel's memory is single pages; nobody uses the page cache of the others or makes more of it.
// Time:        none.
// Source:      kinds of blocks: Panwar, Prasad, Gopinath, "Making Huge Pages Actually Useful" (Illuminator), ASPLOS 2018,
//              which calls a pageblock with both kinds of pages hybrid; hardware.md 4.2.
#pragma once

#include "models/kernel/kernel_context.h"

namespace collapsar {

class Reclaim;

// Requires: config.any() and valid. The whole memory counts; blocks already in use are passed over. `seed`: stream
// "memory.fragmentation".
void fragment_memory(KernelContext& kernel, Reclaim& reclaim, const FragmentationConfig& config, std::uint64_t seed);

}  // namespace collapsar
