/* Where to connect, and as whom: pure functions over the settings. */
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "internal.h"

static int parse_port(const char *text, unsigned *port)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value == 0 || value > 65535)
        return -1;
    *port = (unsigned)value;
    return 0;
}

/* "name", "name:port", "[v6]", "[v6]:port"; a bare v6 address has several colons and no port. */
int tr_source_parse_host(const char *text, unsigned default_port, struct tr_source_host *out,
                         struct tr_error *err)
{
    const char *name = text;
    size_t length = strlen(text);
    const char *port = NULL;
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return tr_error_set(err, TR_ECONFIG, "source.hosts: '%s' is no host:port", text);
        name = text + 1;
        length = (size_t)(close - name);
        port = close[1] == ':' ? close + 2 : NULL;
    } else if (strchr(text, ':') != NULL && strchr(text, ':') == strrchr(text, ':')) {
        port = strchr(text, ':') + 1;
        length = (size_t)(port - 1 - text);
    }
    if (length == 0 || length >= sizeof out->name)
        return tr_error_set(err, TR_ECONFIG, "source.hosts: '%s' has no usable host name", text);
    out->port = default_port;
    if (port != NULL && parse_port(port, &out->port) != 0)
        return tr_error_set(err, TR_ECONFIG, "source.hosts: '%s' has no port from 1 to 65535",
                            text);
    memcpy(out->name, name, length);
    out->name[length] = '\0';
    return 0;
}

int tr_source_parse_hosts(const struct tr_source_settings *settings, struct tr_source_host *out,
                          size_t max, size_t *count, struct tr_error *err)
{
    unsigned port = settings->port > 0 ? (unsigned)settings->port : 3306;
    *count = 0;
    if (settings->hosts.count > max)
        return tr_error_set(err, TR_ECONFIG, "source.hosts: %zu hosts; %zu are the most",
                            settings->hosts.count, max);
    for (size_t i = 0; i < settings->hosts.count; i++) {
        int rc = tr_source_parse_host(settings->hosts.items[i], port, &out[i], err);
        if (rc != 0)
            return rc;
    }
    *count = settings->hosts.count;
    if (*count > 0)
        return 0;
    const char *host = settings->host != NULL ? settings->host : "";
    if (strlen(host) >= sizeof out[0].name)
        return tr_error_set(err, TR_ECONFIG, "source.host is too long");
    strcpy(out[0].name, host[0] != '\0' ? host : "127.0.0.1");
    out[0].port = port;
    *count = 1;
    return 0;
}

uint32_t tr_source_derive_server_id(const char *pipeline, const char *host_name)
{
    struct tr_buf text;
    tr_buf_init(&text, 4096);
    tr_buf_printf(&text, "%s\n%s", pipeline, host_name);
    uint64_t hash = tr_hash_fnv1a(text.data, text.length);
    tr_buf_done(&text);
    return (uint32_t)(0x80000000U | ((hash ^ (hash >> 32)) & 0x7fffffffU));
}

int tr_source_check_tls(const struct tr_source_settings *settings, struct tr_error *err)
{
    bool has_ca = settings->tls_ca != NULL && settings->tls_ca[0] != '\0';
    bool has_cert = settings->tls_cert != NULL && settings->tls_cert[0] != '\0';
    bool has_key = settings->tls_key != NULL && settings->tls_key[0] != '\0';
    if (settings->tls_mode == TR_TLS_VERIFY_CA && !has_ca)
        return tr_error_set(err, TR_ECONFIG,
                            "source.tls.mode verify_ca needs source.tls.ca, the PEM file of the "
                            "authority that signed the server's certificate");
    if (has_key && !has_cert)
        return tr_error_set(err, TR_ECONFIG, "source.tls.key is given without source.tls.cert");
    if (settings->tls_mode == TR_TLS_DISABLED && (has_ca || has_cert))
        return tr_error_set(err, TR_ECONFIG,
                            "source.tls has a certificate but source.tls.mode is disabled; set it "
                            "to verify_identity (or required, verify_ca)");
    return 0;
}
