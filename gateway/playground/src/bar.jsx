// The bar above the editor: what this is, and who is asking.
import { PEOPLE, claimsOf, withToken } from './people.js';

function standing(people, token) {
  if (!people.chosen) return ['none', 'public answers only'];
  if (!token) return ['none', 'no token yet'];
  const claims = claimsOf(token);
  if (!claims) return ['odd', 'not a token'];
  if (claims.exp && claims.exp * 1000 < Date.now()) return ['odd', 'token has expired'];
  return ['good', 'token in use'];
}

export function Bar({ people, setPeople }) {
  const token = people.tokens[people.chosen] ?? '';
  const [state, words] = standing(people, token);
  return (
    <header className="bar">
      <img className="bar-mark" src="./icon.svg" alt="" />
      <div className="bar-title">
        <h1>Smartrix Grid</h1>
        <p>Homes that produce, store and share their energy. Ask the grid anything you may see.</p>
      </div>
      <form className="bar-asking" onSubmit={(event) => event.preventDefault()}>
        <label>
          <span>Asking as</span>
          <select
            id="person"
            value={people.chosen}
            onChange={(event) => setPeople({ ...people, chosen: event.target.value })}
          >
            <option value="">Nobody</option>
            {PEOPLE.map(({ id, name, part }) => (
              <option key={id} value={id}>
                {`${people.tokens[id] ? '● ' : ''}${name === part ? name : `${name}, ${part}`}`}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span>Token</span>
          <input
            id="token"
            value={token}
            onChange={(event) => setPeople(withToken(people, event.target.value))}
            onFocus={(event) => event.target.select()}
            placeholder="paste one that ./run.sh serve prints"
            autoComplete="off"
            spellCheck="false"
          />
        </label>
        <output className={`bar-standing ${state}`} title={claimsOf(token)?.sub}>
          {words}
        </output>
      </form>
    </header>
  );
}
