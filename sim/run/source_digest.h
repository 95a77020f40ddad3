// A number for the sources of the simulator, 16 hex digits: another one may give other results. cmake/SourceDigest.cmake.
#pragma once

namespace collapsar {

const char* source_digest();

}  // namespace collapsar
