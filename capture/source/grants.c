/* Reads what SHOW GRANTS prints. Pure. */
#include <ctype.h>
#include <string.h>

#include "internal.h"

/* The privilege as a whole word of the list: "REPLICATION SLAVE" is not "REPLICATION SLAVE ADMIN".
 */
static bool list_has(const char *list, size_t length, const char *privilege)
{
    size_t wanted = strlen(privilege);
    for (size_t at = 0; at + wanted <= length; at++) {
        bool starts = at == 0 || list[at - 1] == ' ' || list[at - 1] == ',';
        size_t end = at + wanted;
        bool ends = end == length || list[end] == ',' || (list[end] == ' ' && list[end + 1] == '(');
        if (starts && ends && strncmp(list + at, privilege, wanted) == 0)
            return true;
    }
    return false;
}

bool tr_source_grant_has(struct tr_slice grant, const char *privilege)
{
    static const char prefix[] = "GRANT ";
    size_t skip = sizeof prefix - 1;
    if (grant.length <= skip || memcmp(grant.data, prefix, skip) != 0)
        return false;
    const char *list = grant.data + skip;
    const char *on = memmem(list, grant.length - skip, " ON ", 4);
    if (on == NULL) /* GRANT `role` TO … */
        return false;
    size_t length = (size_t)(on - list);
    bool global = strncmp(on + 4, "*.*", 3) == 0;
    if (list_has(list, length, "ALL PRIVILEGES"))
        return global || strcmp(privilege, "SELECT") == 0;
    return list_has(list, length, privilege);
}
