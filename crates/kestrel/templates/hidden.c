/* Says whether a path has a directory that begins with a dot. */
#include "kestrel.h"

/* Patterns are known by their position in the rule file. */
enum { DIRECTORY = 0 };

KESTREL_EXPORT(is_hidden) int32_t is_hidden(int32_t path)
{
	return kestrel_glob(DIRECTORY, path);
}
