// A real OpenID provider for the tests: npm's oidc-provider with one client that gets JWT access tokens for itself.
// Environment: PORT, KEYS (a JWK set with private keys, the first signs), MODULE (where the package is installed).
import { pathToFileURL } from "node:url";

const { Provider } = await import(pathToFileURL(process.env.MODULE).href);
const issuer = `http://localhost:${process.env.PORT}`;
const provider = new Provider(issuer, {
  jwks: JSON.parse(process.env.KEYS),
  clients: [
    {
      client_id: "alice",
      client_secret: "a-secret-for-tests",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: "posts:read",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 3600,
      }),
    },
  },
});
provider.listen(Number(process.env.PORT), "127.0.0.1");
