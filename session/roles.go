package session

import "slices"

// covered lists the roles whose rights some roles include: a service may do what a user may, an admin everything.
func covered(roles []Role) []Role {
	switch {
	case slices.Contains(roles, RoleAdmin):
		return []Role{RoleAdmin, RoleService, RoleUser}
	case slices.Contains(roles, RoleService):
		return []Role{RoleService, RoleUser}
	}
	return []Role{RoleUser}
}

// RolesInForce gives the roles in force for a session that was given some, and whose user's account has some now. So a loss
// counts at once, and a gain from the session's rotation. Sorted.
func RolesInForce(given, account []Role) []Role {
	var out []Role
	for _, r := range []Role{RoleAdmin, RoleService, RoleUser} {
		named := slices.Contains(given, r) || slices.Contains(account, r)
		if named && slices.Contains(covered(given), r) && slices.Contains(covered(account), r) {
			out = append(out, r)
		}
	}
	return out
}

// GainsRights tells whether roles allow what others do not.
func GainsRights(before, after []Role) bool {
	return slices.ContainsFunc(covered(after), func(r Role) bool { return !slices.Contains(covered(before), r) })
}
