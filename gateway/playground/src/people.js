// Who may ask: the people of the grid, and the token each of them holds in this browser tab.

const KEPT_UNDER = 'smartrix-grid.people';

export const PEOPLE = [
  { id: 'household', name: 'Pierre & Marie', part: 'household', role: 'household' },
  { id: 'operator', name: 'Nikola', part: 'grid operator', role: 'operator' },
  { id: 'aggregator', name: 'Charles', part: 'aggregator', role: 'aggregator' },
  { id: 'elon', name: 'Elon', part: 'electric vehicles', role: 'vendor' },
  { id: 'albert', name: 'Albert', part: 'solar panels', role: 'vendor' },
  { id: 'thomas', name: 'Thomas', part: 'batteries', role: 'vendor' },
  { id: 'supplier', name: 'Supplier', part: 'power plant', role: 'supplier' },
  { id: 'partner', name: 'Partner', part: 'buys data', role: 'partner' },
  { id: 'technician', name: 'Technician', part: 'repairs', role: 'technician' },
  { id: 'device', name: 'Device', part: 'meter or appliance', role: 'device' },
];

export const NOBODY = { chosen: '', tokens: {} };

/** The claims a token carries, or null for anything that is not a JSON Web Token. */
export function claimsOf(token) {
  try {
    const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** The id of the person a token was made for; `otherwise` where the token does not say. */
function ownerOf(token, otherwise) {
  const { role, name = '', sub = '' } = claimsOf(token) ?? {};
  const sameRole = PEOPLE.filter((person) => person.role === role);
  const called = `${name} ${sub}`.toLowerCase();
  const named = sameRole.find((person) => called.includes(person.name.toLowerCase()));
  return (named ?? sameRole[0])?.id ?? (otherwise || PEOPLE[0].id);
}

/** The same people with one more token, whose owner asks from now on; an empty token takes the owner's away. */
export function withToken(people, token) {
  const given = token.trim().replace(/^bearer\s+/i, '');
  const id = given ? ownerOf(given, people.chosen) : people.chosen;
  const { [id]: _replaced, ...others } = people.tokens;
  return { chosen: id, tokens: given ? { ...others, [id]: given } : others };
}

export function restored() {
  try {
    return { ...NOBODY, ...JSON.parse(sessionStorage.getItem(KEPT_UNDER) ?? '{}') };
  } catch {
    return NOBODY;
  }
}

export function kept(people) {
  sessionStorage.setItem(KEPT_UNDER, JSON.stringify(people));
  return people;
}

/** Takes `#token=...` out of the address, so that it stays in no history or bookmark; null where there is none. */
export function tokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null) return null;
  history.replaceState(null, '', location.pathname + location.search);
  return token;
}
