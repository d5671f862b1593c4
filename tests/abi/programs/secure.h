/* The connect options of either API from arguments of the form name=value, for the programs about ways
 * to a server. The including file says whose options they are:
 * CONNECT_OPTIONS, SSL_OPTIONS, NAME_VALUE and their initializers. */

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* How often the library has told of an error of TLS. */
static int told;

static int tell(const char* text, size_t length, void* context)
{
  told += context == &told && length == strlen(text) && text[length - 1] == '\n';
  printf("text: %s", text);
  return 1;
}

static unsigned int share_key(const char* hint, char* identity, unsigned int identity_length, unsigned char* key,
                              unsigned int key_length, void* context)
{
  (void)hint, (void)identity, (void)identity_length, (void)key, (void)key_length, (void)context;
  return 0;
}

/* A struct as programs with older headers have it: behind it there is no memory. */
static SSL_OPTIONS* cut(const SSL_OPTIONS* whole)
{
  size_t const sizes[] = {
    offsetof(SSL_OPTIONS, sslVersion),  offsetof(SSL_OPTIONS, verify), offsetof(SSL_OPTIONS, ssl_error_cb),
    offsetof(SSL_OPTIONS, ssl_psk_cb),  offsetof(SSL_OPTIONS, protos), sizeof(SSL_OPTIONS),
  };
  int const known = whole->struct_version >= 0 && whole->struct_version < 6;
  size_t const size = (sizes[known ? whole->struct_version : 5] + 7) / 8 * 8;
  size_t const page = (size_t)sysconf(_SC_PAGESIZE);
  char* pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE) != 0)
    exit(2);
  return memcpy(pages + page - size, whole, size);
}

static void read_arguments(char** argument, CONNECT_OPTIONS* options)
{
  static NAME_VALUE headers[2];
  static unsigned char protocols[64];
  SSL_OPTIONS const initial = SSL_INITIALIZER;
  SSL_OPTIONS ssl = initial;
  int given = 1;
  ssl.ssl_error_cb = tell;
  ssl.ssl_error_context = &told;
  for (; *argument; ++argument)
  {
    char* value = strchr(*argument, '=');
    if (value == NULL)
      exit(2);
    *value++ = '\0';
#define NAMED(name) if (strcmp(*argument, name) == 0)
    NAMED("trust") ssl.trustStore = value;
    NAMED("folder") ssl.CApath = value;
    NAMED("certificate") ssl.keyStore = value;
    NAMED("key") ssl.privateKey = value;
    NAMED("password") ssl.privateKeyPassword = value;
    NAMED("ciphers") ssl.enabledCipherSuites = value;
    NAMED("check") ssl.enableServerCertAuth = atoi(value);
    NAMED("verify") ssl.verify = atoi(value);
    NAMED("defaults") ssl.disableDefaultTrustStore = !atoi(value);
    NAMED("version") ssl.struct_version = atoi(value);
    NAMED("id") memcpy(ssl.struct_id, value, 4);
    NAMED("ssl") given = atoi(value);
    NAMED("psk") ssl.ssl_psk_cb = share_key;
    NAMED("clean") options->cleansession = atoi(value);
    NAMED("proxy") options->httpProxy = value;
    NAMED("secure_proxy") options->httpsProxy = value;
    NAMED("header")
    {
      headers[0].name = value;
      value = strchr(value, ':');
      *value++ = '\0';
      headers[0].value = value;
      options->httpHeaders = headers;
    }
    NAMED("protocols")
    {
      /* The length in front, unless it is to be a wrong one. */
      protocols[0] = (unsigned char)(value[0] == '!' ? 63 : strlen(value));
      memcpy(protocols + 1, value, strlen(value));
      ssl.protos = protocols;
      ssl.protos_len = (unsigned int)strlen(value) + 1;
    }
  }
  if (given)
    options->ssl = cut(&ssl);
}
