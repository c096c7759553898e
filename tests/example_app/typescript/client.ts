// What an application in TypeScript does with the example: sign up, be refused, log in, save a link and read it.
// Types, paths and bodies come from schema.d.ts, which openapi-typescript makes of the OpenAPI document.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

type Tokens = components["schemas"]["TokenResponse"];
type Problem = components["schemas"]["Problem"];
type Link = components["schemas"]["LinkOut"];

const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });
const account = { username: "mira", email: "mira@example.com", password: process.argv[3] ?? "" };

const registered = await client.POST("/auth/register", { body: account });
if (registered.error || !("user" in registered.data)) throw new Error("not registered");

const stranger = await client.GET("/links");
if (!stranger.error || !("detail" in stranger.error)) throw new Error("not refused");
const refusal: Problem | components["schemas"]["ValidationError"][] | undefined = stranger.error.detail;

const loggedIn = await client.POST("/auth/token", {
  body: { grant_type: "password", username: account.username, password: account.password },
  headers: { "Content-Type": "application/x-www-form-urlencoded" },  // a form, as OAuth 2 says
});
if (loggedIn.error) throw new Error("not logged in");
const tokens: Tokens = loggedIn.data;
const headers = { Authorization: `Bearer ${tokens.access_token}` };

const saved = await client.POST("/links", {
  body: { url: "https://piccolo-orm.com/", title: "Piccolo", tags: ["orm"] },
  headers,
});
if (saved.error) throw new Error("not saved");
const link: Link = saved.data;

const listed = await client.GET("/links", { headers, params: { query: { tag: "orm" } } });
if (listed.error) throw new Error("not listed");

console.log(JSON.stringify({ person: registered.data.user.username, refusal, saved: link.title, listed: listed.data.map((one) => one.id === link.id) }));
